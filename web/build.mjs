// Builds every bundle into web/dist, or into --out=FOLDER. Sources decide the bytes: the same ones make the same output.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const asked = process.argv.find((argument) => argument.startsWith("--out="))?.slice("--out=".length);
const out = asked ? resolve(asked) : join(here, "dist");

/** What a client may weigh on its way to an app, in bytes under gzip. */
const SDK_BYTES_MAX = 12_000;

const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  // Pages load the client from where every app does.
  alias: { turnstone: "/sdk/turnstone.js" },
  external: ["/sdk/turnstone.js"],
  logLevel: "warning",
};

rmSync(out, { recursive: true, force: true });
await sdk();
await page("test");
await page("dashboard");

async function sdk() {
  const file = join(out, "sdk/turnstone.js");
  await build({ ...shared, entryPoints: ["sdk/index.ts"], outfile: file });
  const bytes = gzipSync(readFileSync(file), { level: 9 }).length;
  console.log(`sdk/turnstone.js: ${bytes} bytes under gzip, ${SDK_BYTES_MAX} at most`);
  if (bytes > SDK_BYTES_MAX) throw new Error("the client is too big");
  writeFileSync(join(out, "sdk/turnstone.d.ts"), declarations());
}

/** A page is a folder with NAME.tsx or NAME.ts, NAME.css and index.html. */
async function page(name) {
  const entry = [`${name}/${name}.tsx`, `${name}/${name}.ts`].find((path) => existsSync(join(here, path)));
  if (!entry) return;
  mkdirSync(join(out, name), { recursive: true });
  const jsx = { jsx: "automatic", jsxImportSource: "preact" };
  const script = { ...shared, ...jsx, entryPoints: [entry], outfile: join(out, name, `${name}.js`), metafile: true };
  const sheet = { ...shared, entryPoints: [`${name}/${name}.css`], outfile: join(out, name, `${name}.css`), metafile: true };
  const inputs = [await build(script), await build(sheet)].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const notices = thirdParty(inputs);
  if (notices) writeFileSync(join(out, name, "THIRD-PARTY.txt"), notices);
  cpSync(join(here, name, "index.html"), join(out, name, "index.html"));
}

/** The licence of each package that has a file among these: their authors ask that it goes along with every copy. */
function thirdParty(inputs) {
  const names = inputs.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean);
  const notices = [...new Set(names)].sort().map((name) => {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
  });
  return notices.join(`\n${"-".repeat(72)}\n\n`);
}

/**
 * All declarations of the client as one module: those of each file behind the ones that it imports. Names are unique
 * over the files, and what sdk/index.ts exports stays the whole of what is exported.
 */
function declarations() {
  const folder = mkdtempSync(join(here, "node_modules", ".declarations-"));
  try {
    const options = ["--project", here, "--emitDeclarationOnly", "--declaration", "--noEmit", "false"];
    const tsc = join(here, "node_modules/.bin/tsc");
    execFileSync(tsc, [...options, "--outDir", folder, "--rootDir", here], { stdio: ["ignore", "inherit", "inherit"] });
    return oneModule((name) => readFileSync(join(folder, "sdk", `${name}.d.ts`), "utf8"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function oneModule(read) {
  const index = read("index");
  const whole = new Set([...index.matchAll(/^export type \* from "\.\/(.+)";/gm)].map(([, name]) => name));
  const listed = [...index.matchAll(/^export (?:type )?\{ ([^}]+) \} from/gm)].flatMap(([, names]) => names.split(", "));
  const stripped = (name, text) => {
    const own = text.replace(/^(import|export) [^;]*? from "\.[^"]*";\n/gm, "").replace(/^export \{\};\n/gm, "");
    const isShown = (declared) => whole.has(name) || listed.includes(declared);
    const declaration = /^export ((?:declare |abstract )*(?:class|function|const|type|interface) (\w+))/gm;
    return own.replace(declaration, (all, rest, declared) => (isShown(declared) ? all : rest));
  };
  const parts = [];
  const seen = new Set();
  const visit = (name) => {
    if (seen.has(name)) return;
    seen.add(name);
    const text = read(name);
    for (const [, other] of text.matchAll(/ from "\.\/(.+?)";/g)) visit(other);
    parts.push(stripped(name, text).trim());
  };
  visit("index");
  // Without a list of exports, a module of declarations exports them all.
  return `${parts.filter(Boolean).join("\n")}\nexport {};\n`;
}
