// Models in onnxruntime-web's WebAssembly, under node: node web_runtime.cjs FOLDER...
//
// A FOLDER holds model.onnx, inputs.json ([{name, type, shape}]) and the numbers of each input in
// input0, input1, ... (little endian). Written beside them are outputs.json, likewise, and
// output0, output1, ...; or, where the model does not run, failed.txt. The package is the one that
// node finds from the current folder. Status 3 where it finds none.
"use strict";

const fs = require("node:fs");
const { createRequire } = require("node:module");
const path = require("node:path");

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

function load() {
  const find = createRequire(path.join(process.cwd(), "from-here.js"));
  try {
    return find("onnxruntime-web");
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    process.exit(3);
  }
}

async function run(ort, folder) {
  const file = (name) => path.join(folder, name);
  const feeds = {};
  JSON.parse(fs.readFileSync(file("inputs.json"))).forEach(({ name, type, shape }, place) => {
    const bytes = new Uint8Array(fs.readFileSync(file(`input${place}`)));
    feeds[name] = new ort.Tensor(type, new ARRAYS[type](bytes.buffer), shape);
  });
  const model = new Uint8Array(fs.readFileSync(file("model.onnx")));
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const found = await session.run(feeds);
  const outputs = session.outputNames.map((name, place) => {
    const { type, dims, data } = found[name];
    fs.writeFileSync(file(`output${place}`), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return { name, type, shape: dims };
  });
  await session.release();
  fs.writeFileSync(file("outputs.json"), JSON.stringify({ version: ort.env.versions.web, outputs }));
}

async function main() {
  const ort = load();
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  for (const folder of process.argv.slice(2)) {
    try {
      await run(ort, folder);
    } catch (error) {
      fs.writeFileSync(path.join(folder, "failed.txt"), String(error.message ?? error));
    }
  }
}

main();
