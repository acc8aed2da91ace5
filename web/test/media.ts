// What the other side is to see and hear: a camera, or a picture and a tone that need no permission and no device.

export type Picture = "synthetic" | "camera";

export interface Media {
  stream: MediaStream;
  stop(): void;
}

const [WIDTH, HEIGHT, FPS] = [640, 360, 20];

export async function open(picture: Picture, name: string): Promise<Media> {
  return picture === "camera" ? camera() : synthetic(name);
}

async function camera(): Promise<Media> {
  if (!navigator.mediaDevices) throw new DOMException("browsers give it to pages on localhost or under https alone", "NotAllowedError");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: WIDTH, height: HEIGHT } });
  return { stream, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

/** A clock on moving colours, and a quiet tone: whoever sees the other side's clock sees how late it comes. */
function synthetic(name: string): Media {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const context = canvas.getContext("2d");
  const hue = [...name].reduce((sum, character) => (sum * 31 + (character.codePointAt(0) ?? 0)) % 360, 200);
  const draw = () => context && paint(context, name, hue);
  draw();
  const timer = setInterval(draw, 1000 / FPS);
  const stream = canvas.captureStream(FPS);
  const tone = makeTone(hue);
  if (tone) stream.addTrack(tone.track);
  return {
    stream,
    stop() {
      clearInterval(timer);
      tone?.stop();
      stream.getTracks().forEach((track) => track.stop());
    },
  };
}

function paint(context: CanvasRenderingContext2D, name: string, hue: number): void {
  const now = performance.now() / 1000;
  for (let stripe = 0; stripe < 8; stripe++) {
    context.fillStyle = `hsl(${hue + stripe * 12} 55% ${32 + 12 * Math.sin(now * 2 + stripe)}%)`;
    context.fillRect((stripe * WIDTH) / 8, 0, WIDTH / 8 + 1, HEIGHT);
  }
  const [x, y] = [WIDTH / 2 + Math.cos(now) * 220, HEIGHT / 2 + Math.sin(now * 1.7) * 110];
  context.fillStyle = "rgb(255 255 255 / 85%)";
  context.beginPath();
  context.arc(x, y, 34, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = "white";
  context.textAlign = "center";
  context.font = "600 54px monospace";
  context.fillText(new Date().toISOString().slice(11, 22), WIDTH / 2, HEIGHT / 2 + 18);
  context.font = "20px sans-serif";
  context.fillText(name.slice(0, 40), WIDTH / 2, HEIGHT - 24, WIDTH - 40);
}

function makeTone(hue: number): { track: MediaStreamTrack; stop(): void } | undefined {
  try {
    const audio = new AudioContext();
    const oscillator = new OscillatorNode(audio, { frequency: 220 + hue });
    const gain = new GainNode(audio, { gain: 0.02 });
    const sink = audio.createMediaStreamDestination();
    oscillator.connect(gain).connect(sink);
    oscillator.start();
    // Until somebody has clicked it stays suspended, and the track is silent.
    void audio.resume().catch(() => {});
    const [track] = sink.stream.getAudioTracks();
    return track && { track, stop: () => void audio.close().catch(() => {}) };
  } catch {
    // No device for sound, no tone.
    return undefined;
  }
}
