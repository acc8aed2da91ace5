import { render } from "preact";
import { followTheme } from "../shared/theme";
import { App } from "./app";
import { arrive } from "./arrival";

followTheme(() => {});
// A link that is pasted into this very tab changes nothing but what stands behind the `#`.
addEventListener("hashchange", () => location.hash && location.reload());
const root = document.getElementById("app");
// Read and forgotten before anything else can see the address.
if (root) render(<App arrival={arrive(location, history)} />, root);
