// onnxruntime-web: WebGPU where there is one, else WebAssembly.

const here = new URL("./", import.meta.url).href;
let loading = null;

/** The runtime, loaded once: { ort, providers, name }. `?backend=wasm` or `webgpu` insists. */
export function runtime() {
  loading ??= load();
  return loading;
}

async function load() {
  const gpu = asked() !== "wasm" && (await hasGpu(asked() === "webgpu"));
  const ort = await import(gpu ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = `${here}ort/`;
  // Threads need a host that isolates the page, as `zoo serve` does.
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const wasm = threads > 1 ? `WebAssembly, ${threads} threads` : "WebAssembly";
  return { ort, providers: gpu ? ["webgpu", "wasm"] : ["wasm"], name: gpu ? "WebGPU" : wasm };
}

function asked() {
  return new URLSearchParams(location.search).get("backend");
}

/** Whether there is a GPU. One that is only imitated is slower than WebAssembly. */
async function hasGpu(evenImitated) {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && (evenImitated || !adapter.info?.isFallbackAdapter);
  } catch {
    return false;
  }
}

/** The network in the file at an address. */
export async function openOne(url) {
  const { ort, providers } = await runtime();
  return ort.InferenceSession.create(url, { executionProviders: providers, logSeverityLevel: 3 });
}

/** What a network of one input gives of { data, dims }: its outputs by name, { data, dims }. */
export async function runOne(session, how, { data, dims }) {
  const { ort } = await runtime();
  return session.run({ [how.input]: new ort.Tensor("float32", data, dims) }, how.outputs);
}

/** The two networks of a model. */
export async function open(model) {
  // One after the other: the runtime starts up with the first.
  const encoder = await openOne(`${here}${model.encoder}`);
  return { encoder, decoder: await openOne(`${here}${model.decoder}`) };
}

/** Image -> { masks: [{ data, dims }] of each level, features: { data, dims } or null }. */
export async function encode(networks, model, input, height, width) {
  const { ort } = await runtime();
  const found = await networks.encoder.run({
    [model.input]: new ort.Tensor("float32", input, [1, 3, height, width]),
  });
  const plain = ({ data, dims }) => ({ data, dims: [...dims] });
  const names = model.masks.values();
  const none = (level) => ({ data: new BigInt64Array(0), dims: [1, 0, height >> level, width >> level] });
  return {
    masks: model.levels.map((channels, i) => (channels ? plain(found[names.next().value]) : none(i + 1))),
    features: model.features ? plain(found[model.features]) : null,
  };
}

/** Masks, and features for the bottleneck to swallow -> image values. */
export async function decode(networks, model, masks, features) {
  const { ort } = await runtime();
  const feeds = {};
  const there = masks.filter(({ data }) => data.length);
  model.masks.forEach((name, i) => {
    feeds[name] = new ort.Tensor("int64", there[i].data, there[i].dims);
  });
  if (model.features) {
    feeds[model.features] = new ort.Tensor("float32", features.data, features.dims);
  }
  const found = await networks.decoder.run(feeds, [model.output]);
  return found[model.output].data;
}
