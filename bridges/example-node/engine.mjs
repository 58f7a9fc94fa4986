// A worker in plain Node that speaks the protocol of docs/reference/protocol.md. It recognizes no words: for
// every half second of audio it says "sound" or "silence". Copy it and put an engine in its place.

import { existsSync, readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";

const PROTOCOL = 1;
const RATE = 16000;
const WINDOW = RATE / 2;
const SOUND_RMS = 0.01; // -40 dB of full scale

const code = {
  parseError: -32700, invalidRequest: -32600, methodNotFound: -32601, invalidParams: -32602,
  modelUnusable: -32002, audioUnusable: -32003, backendError: -32005, wrongState: -32006,
};

class CallError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

let loaded = false;

const methods = {
  hello({ protocol }) {
    if (protocol !== PROTOCOL)
      throw new CallError(code.invalidParams, `this worker speaks protocol ${PROTOCOL}`);
    const versions = { node: process.versions.node };
    return { protocol: PROTOCOL, name: "example-node", version: "1", versions };
  },

  load({ model }) {
    const started = performance.now();
    // A real engine reads its weights here, all of them, so that no later call has to.
    if (model.path && !existsSync(model.path))
      throw new CallError(code.modelUnusable, `no such file: ${model.path}`);
    loaded = true;
    return { load_s: (performance.now() - started) / 1000, device: "cpu", precision: "float64" };
  },

  transcribe({ audio, contract }) {
    if (!loaded) throw new CallError(code.wrongState, "load a model first");
    const samples = readAudio(audio); // before the clock: the file is not the engine's work
    const started = performance.now();
    const segments = listen(samples);
    const seconds = (performance.now() - started) / 1000;
    // What was really done. null: the setting does not apply here, or nobody knows.
    const { name: _, ...settings } = contract;
    const effective = Object.fromEntries(Object.keys(settings).map((key) => [key, null]));
    Object.assign(effective, { vad: false, condition_on_previous_text: false, batch_size: 1 });
    const text = segments.map((segment) => segment.text).join("");
    return { seconds, text, segments, effective, remarks: ["tells sound from silence, not words"] };
  },

  unload() {
    if (!loaded) throw new CallError(code.wrongState, "nothing is loaded");
    loaded = false;
    return {};
  },

  shutdown: () => ({}),
};

function readAudio({ path, samples, sample_rate: rate = RATE }) {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new CallError(code.audioUnusable, `cannot read audio: ${error.message}`);
  }
  if (rate !== RATE || samples < 1 || bytes.length !== 4 * samples)
    throw new CallError(code.audioUnusable, `not ${samples} float32 samples at ${RATE} Hz`);
  // Through DataView: the protocol says little-endian whatever this machine is.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const audio = new Float32Array(samples);
  for (let i = 0; i < samples; i++) audio[i] = view.getFloat32(4 * i, true);
  if (!audio.every(Number.isFinite))
    throw new CallError(code.audioUnusable, "the audio is not finite everywhere");
  return audio;
}

function listen(samples) {
  const segments = [];
  for (let start = 0; start < samples.length; start += WINDOW) {
    const window = samples.subarray(start, start + WINDOW);
    const power = window.reduce((sum, value) => sum + value * value, 0) / window.length;
    const text = Math.sqrt(power) > SOUND_RMS ? " sound" : " silence";
    segments.push({ start_s: start / RATE, end_s: (start + window.length) / RATE, text });
  }
  return segments;
}

// Only this function writes to stdout. Anything for people goes to console.error (stderr).
const send = (message, then) =>
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n", then);

const input = createInterface({ input: process.stdin });
input.on("line", (line) => {
  let id = null;
  try {
    const call = JSON.parse(line);
    id = call?.id ?? null;
    if (typeof call?.method !== "string") throw new CallError(code.invalidRequest, "not a call");
    if (!Object.hasOwn(methods, call.method))
      throw new CallError(code.methodNotFound, `no method ${call.method}`);
    const result = methods[call.method](call.params ?? {});
    send({ id, result }, call.method === "shutdown" ? () => process.exit(0) : undefined);
  } catch (error) {
    const data = { error_class: error.constructor.name, traceback: error.stack };
    const unparsed = error instanceof SyntaxError ? code.parseError : code.backendError;
    const number = error instanceof CallError ? error.code : unparsed;
    send({ id, error: { code: number, message: error.message, data } });
  }
});
input.on("close", () => process.exit(0)); // the tool has gone, so do we
