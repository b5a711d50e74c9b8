// The demonstration: a photograph to switches, and back from the switches alone.

import { pack, randomFrom, shuffle, switchesFile, toMask, toSwitches, unpack } from "./codec.js";
import { makeComparable } from "./compare.js";
import * as feeding from "./feeding.js";
import * as images from "./image.js";
import * as jpeg from "./jpeg.js";
import * as networks from "./networks.js";
import { listen as listenForPhotographs } from "./photograph.js";
import { encode as coded } from "./coder.js";
import { readScores, ScoresWalk } from "./scores.js";
import { readTables, TablesWalk } from "./tables.js";

const $ = (id) => document.getElementById(id);
const here = new URL("./", import.meta.url).href;
const FACTOR = 4; // how much brighter differences are drawn
const SMALL = "networks for small files"; // what the list calls them all; a slider says which
const ENTROPY_MODELS = { tables: [readTables, TablesWalk], scores: [readScores, ScoresWalk] };

const state = {
  manifest: null,
  photograph: null, // ImageData at its own size
  networks: new Map(), // model name -> its two sessions
  entropyModels: new Map(), // model name -> how likely its switches are, or null
  encoded: null, // what `encode` found of the photograph
  plain: null, // the reconstruction with nothing altered
  altered: null, // switches of each level as they were decoded last
};

// Each request for a run replaces the one that waits: only the last matters.
let wanted = null;
let running = false;

async function run(what) {
  wanted = wanted === "encode" ? "encode" : what;
  if (running) return;
  running = true;
  try {
    while (wanted) {
      const step = wanted;
      wanted = null;
      if (step === "encode") await encode();
      await decode();
    }
  } catch (error) {
    console.error(error);
    say(`It does not run here: ${error.message}`, true);
  } finally {
    running = false;
    document.body.dataset.state = "done";
  }
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

function model() {
  const chosen = $("model").value;
  if (chosen === SMALL) return ofRates()[Number($("rate").value)];
  return state.manifest.models.find(({ name }) => name === chosen);
}

/** The networks for small files, the smallest first. */
function ofRates() {
  return state.manifest.models.filter(({ bits }) => bits !== null).sort((a, b) => a.bits - b.bits);
}

async function encode() {
  document.body.dataset.state = "busy";
  const chosen = model();
  const size = Number($("size").value);
  if (!state.networks.has(chosen.name)) {
    say("Loading the runtime and the networks…");
    state.networks.set(chosen.name, await networks.open(chosen));
  }
  say("Encoding…");
  const rgb = feeding.resize(state.photograph, size, size);
  images.draw($("original"), rgb, size, size);
  images.draw($("before"), rgb, size, size);
  const input = feeding.toInput(rgb, chosen);
  const started = performance.now();
  const { masks, features } = await networks.encode(
    state.networks.get(chosen.name), chosen, input, size, size,
  );
  const milliseconds = performance.now() - started;
  const dims = masks.map((mask) => mask.dims);
  const levels = masks.map((mask) => toSwitches(mask.data, mask.dims));
  const code = pack(levels);
  const bytes = (await file(chosen, size, dims, levels))?.size ?? code.length;
  const beside = await jpeg.within($("original"), bytes);
  state.encoded = { model: chosen, size, rgb, dims, code, bytes, features, milliseconds, beside };
  state.plain = null;
}

/** The real .switches file, as `zoo encode` would write it where the model has an entropy model. */
async function file(chosen, size, dims, levels) {
  if (chosen.file === null) return null;
  const header = { height: size, width: size, ...chosen.file };
  if (chosen.coding === null) return switchesFile(header, dims, levels);
  const { kind, url } = chosen.coding;
  const [read, Walk] = ENTROPY_MODELS[kind];
  if (!state.entropyModels.has(chosen.name)) {
    const text = await (await fetch(`${here}${url}`)).text();
    state.entropyModels.set(chosen.name, await read(text, chosen.levels));
  }
  const known = state.entropyModels.get(chosen.name);
  const bytes = coded(dims.map((dim, i) => new Walk(dim, known[i])), levels);
  return switchesFile(header, dims, levels, kind, bytes);
}

async function decode() {
  document.body.dataset.state = "busy";
  const { model: chosen, size, rgb, dims, code, features, milliseconds } = state.encoded;
  // From here on there is the code, and nothing else of the photograph.
  const levels = unpack(code, dims.map(count));
  const altered = levels.map((level, number) => shuffled(level, dims[number], number));
  if (state.plain === null && isAltered()) {
    state.plain = await rebuild(levels, features);
  }
  const started = performance.now();
  const rebuilt = await rebuild(altered, alter(features));
  const back = performance.now() - started;
  if (!isAltered()) state.plain = rebuilt;
  state.altered = altered;
  for (const id of ["rebuilt", "after"]) images.draw($(id), rebuilt, size, size);
  images.drawDifference($("difference"), rgb, rebuilt, size, size, FACTOR);
  const finest = altered.findIndex((level) => level.length);
  images.drawSwitches($("code"), altered[finest], dims[finest]);
  await report({ chosen, size, rgb, rebuilt, code, switches: levels, milliseconds, back });
}

async function rebuild(levels, features) {
  const { model: chosen, dims } = state.encoded;
  const masks = levels.map((level, i) => ({ data: toMask(level, dims[i]), dims: dims[i] }));
  const values = await networks.decode(state.networks.get(chosen.name), chosen, masks, features);
  return feeding.fromOutput(values, chosen);
}

const count = (dims) => dims.reduce((product, dim) => product * dim, 1);

function share() {
  return Number($("share").value) / 100;
}

function isAltered() {
  return share() > 0 || choice() !== "kept";
}

function shuffled(level, dims, number) {
  const chosen = $(`level-${number + 1}`)?.checked;
  return chosen && share() > 0 ? shuffle(level, dims, share(), randomFrom(number + 1)) : level;
}

function choice() {
  return document.querySelector("input[name=features]:checked").value;
}

function alter(features) {
  if (features === null || choice() === "kept") return features;
  const random = randomFrom(7);
  const largest = features.data.reduce((most, value) => Math.max(most, value), 1);
  const change = {
    zero: () => 0,
    noise: () => largest * random(),
    hundredfold: (value) => 100 * value,
  }[choice()];
  return { data: features.data.map(change), dims: features.dims };
}

async function report(found) {
  const { name } = await networks.runtime();
  const { size, rgb, rebuilt, switches } = found;
  const bits = 2 * switches.reduce((sum, level) => sum + level.length, 0);
  const fact = (id, text) => { $(id).textContent = text; };
  const error = images.rmse(rgb, rebuilt);
  fact("rmse", error.toFixed(4));
  $("rmse").dataset.value = error;
  fact("rmse-plain", isAltered() ? `${images.rmse(rgb, state.plain).toFixed(4)} as it was` : "");
  fact("bits", `${bits.toLocaleString("en")} bits`);
  const { beside, bytes } = state.encoded;
  const each = (8 * bytes / (size * size)).toFixed(3);
  fact("bytes", `${bytes.toLocaleString("en")} bytes for ${size}×${size} pixels, ${each} bits each`);
  const ofJpeg = images.rmse(rgb, feeding.resize(beside.pixels, size, size)).toFixed(4);
  const fits = beside.bytes <= bytes;
  fact("jpeg", fits ? `RMSE ${ofJpeg}` : `none; the smallest has RMSE ${ofJpeg}`);
  fact("as-jpeg-text", `As JPEG: ${fits ? "of no more bytes" : "the smallest, of more bytes"}`);
  images.show($("as-jpeg"), beside.pixels);
  fact("jpeg-bytes", `${beside.bytes.toLocaleString("en")} bytes, this browser’s quality ${Math.round(100 * beside.quality)}`);
  fact("per-pixel", `${+(bits / (3 * size * size)).toFixed(4)}`);
  const { rmse } = found.chosen;
  fact("average", rmse === null ? "not measured" : `${rmse.toFixed(4)} on average`);
  fact("time", `${Math.round(found.milliseconds)} + ${Math.round(found.back)} ms`);
  fact("backend", name);
  const change = images.largestChange(rebuilt, state.plain);
  $("change").dataset.value = change;
  fact("change", sentence(change, found.chosen));
  const what = share() > 0 ? "Rebuilt from shuffled switches" : "Rebuilt from the switches";
  say(`${what}: ${bytes.toLocaleString("en")} bytes, an RMSE of ${error.toFixed(4)}.`);
}

function sentence(change, chosen) {
  if (chosen.features === null) return "This model has no features to alter.";
  if (choice() === "kept") return "";
  if (share() > 0) return "The switches are shuffled as well; set that to 0 % to see the features alone.";
  return change === 0
    ? "Not one pixel changed. The features end in a layer whose weights are all zero."
    : `The largest change of any pixel is ${change.toFixed(3)} of 255.`;
}

async function show(source) {
  try {
    state.photograph = await feeding.decode(source);
  } catch {
    say("That is no picture that this browser can read.", true);
    return;
  }
  await run("encode");
}

function listen() {
  $("model").addEventListener("change", () => { setLevels(); rerun(); });
  $("rate").addEventListener("input", () => { setLevels(); rerun(); });
  $("size").addEventListener("change", rerun);
  $("share").addEventListener("input", () => {
    $("share-text").textContent = `${$("share").value} %`;
    if (state.encoded) run("decode");
  });
  for (const input of document.querySelectorAll("input[name=level], input[name=features]")) {
    input.addEventListener("change", () => state.encoded && run("decode"));
  }
  makeComparable($("compare"));
  $("factor").textContent = FACTOR;
  $("save").addEventListener("click", () => state.encoded && images.save($("rebuilt"), "rebuilt.png"));
  $("save-switches").addEventListener("click", saveSwitches);
}

async function saveSwitches() {
  if (!state.encoded) return;
  const { model: chosen, size, dims } = state.encoded;
  images.saveBlob(await file(chosen, size, dims, state.altered), "photograph.switches");
}

function rerun() {
  if (state.photograph) run("encode");
}

function setLevels() {
  const { levels, bits, features, file: made } = model();
  $("features").hidden = features === null;
  $("save-switches").hidden = $("decode").hidden = made === null;
  $("rates").hidden = $("model").value !== SMALL;
  $("rate-text").textContent = bits === null ? "" : `${bits.toFixed(2)} bits a pixel on average`;
  for (const input of document.querySelectorAll("input[name=level]")) {
    const number = Number(input.id.slice("level-".length));
    input.closest("label").hidden = !levels[number - 1];
  }
}

function fill() {
  const small = ofRates();
  for (const { name, bits, levels } of state.manifest.models) {
    if (bits !== null) continue;
    const each = levels.reduce((sum, channels, i) => sum + (2 * channels) / (3 * 4 ** (i + 1)), 0);
    $("model").append(new Option(`${name} – ${+each.toFixed(4)} bits`, name));
  }
  if (small.length) $("model").append(new Option(SMALL, SMALL));
  $("rate").max = small.length - 1;
  const named = decodeURIComponent(location.hash.slice(1));
  const rate = small.findIndex(({ name }) => name === named);
  if (rate >= 0) $("rate").value = rate;
  const options = [...$("model").options].map(({ value }) => value);
  const usual = options.filter((option) => option !== SMALL).at(-1) ?? SMALL;
  $("model").value = rate >= 0 ? SMALL : options.includes(named) ? named : usual;
  const samples = state.manifest.samples.map(({ name, url }) => ({ name, url: `${here}${url}` }));
  listenForPhotographs(samples, show);
}

const response = await fetch(`${here}demo.json`);
state.manifest = await response.json();
fill();
setLevels();
listen();
document.body.dataset.state = "ready";
const first = state.manifest.samples[0];
if (first && !navigator.connection?.saveData) await show(`${here}${first.url}`);
else say("Choose a photograph to begin.");
