// A model's own page: a photograph through the model, and what it says of it.

import { makeComparable } from "./compare.js";
import { decode, feed } from "./feeding.js";
import { draw, save, show } from "./image.js";
import * as networks from "./networks.js";
import { listen } from "./photograph.js";
import { fromPairs, fromRows, hue, inPixels, picture, top } from "./predict.js";

const $ = (id) => document.getElementById(id);
const root = new URL(document.body.dataset.root || "./", location.href);
const url = new URL($("live").dataset.manifest, location.href);

let how = null; // the manifest
let session = null;
let wanted = null; // of several photographs only the last matters
let running = false;

async function take(source) {
  wanted = source;
  if (running) return;
  running = true;
  try {
    while (wanted) {
      const next = wanted;
      wanted = null;
      document.body.dataset.state = "busy";
      await predict(next);
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

async function predict(source) {
  let image;
  try {
    image = await decode(source, how.size === null ? how.longest : Infinity);
  } catch {
    say("That is no picture that this browser can read.", true);
    return;
  }
  if (session === null) {
    say("Loading the runtime and the model…");
    session = await networks.openOne(new URL(how.file, root).href);
  }
  say("Running…");
  await new Promise((done) => { setTimeout(done); }); // so that it is seen
  const fed = feed(image, how);
  const started = performance.now();
  const found = await networks.runOne(session, how, fed);
  $("time").textContent = `${Math.round(performance.now() - started)} ms`;
  $("went-in").textContent = fed.dims.join("×");
  $("backend").textContent = (await networks.runtime()).name;
  $("facts").hidden = $("result").hidden = false;
  const [first, second] = how.outputs.map((name) => found[name]);
  if (how.task === "classify") {
    show($("picture"), image);
    tell(top(first.data, how));
  } else if (how.task === "detect") {
    const size = fed.dims.slice(2);
    const boxes = second ? fromPairs(first.data, second.data, size, how) : fromRows(first.data, how);
    const placed = inPixels(boxes, image, fed.window, how);
    show($("picture"), image);
    drawBoxes($("picture"), placed);
    tell(placed);
  } else {
    tellPicture(image, fed, first);
  }
}

/** A list of labels and scores, with bars where scores are probabilities. */
function tell(found) {
  const shares = found.every(({ score }) => score >= 0 && score <= 1.0001);
  $("scores").replaceChildren(...found.map((one) => {
    const line = document.createElement("li");
    line.dataset.place = one.place;
    line.dataset.score = one.score;
    if (one.box) line.dataset.box = one.box.join(" ");
    const label = document.createElement("span");
    label.textContent = one.label;
    const score = document.createElement("b");
    score.textContent = one.score.toPrecision(3);
    const bar = document.createElement(shares ? "meter" : "i");
    if (shares) bar.value = one.score;
    bar.setAttribute("aria-hidden", "true");
    line.append(label, bar, score);
    return line;
  }));
  if (how.task === "classify") say(`It says: ${found[0].label}.`);
  else say(found.length ? `It found ${found.length}.` : "It found nothing.");
}

function drawBoxes(canvas, boxes) {
  const context = canvas.getContext("2d");
  const side = Math.max(canvas.width, canvas.height);
  context.lineWidth = Math.max(1, side / 200);
  context.font = `${Math.max(10, Math.round(side / 36))}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  for (const { place, label, score, box: [left, top_, right, bottom] } of [...boxes].reverse()) {
    context.strokeStyle = context.fillStyle = hue(place);
    context.strokeRect(left, top_, right - left, bottom - top_);
    const text = ` ${label} ${score.toFixed(2)} `;
    const tall = Math.round(side / 26), base = Math.max(tall, top_);
    context.fillRect(left, base - tall, context.measureText(text).width, tall);
    context.fillStyle = "black";
    context.fillText(text, left, base - 2);
  }
}

function tellPicture(image, fed, made) {
  const [, , height, width] = made.dims;
  draw($("after"), picture(made.data, made.dims, how), height, width);
  // The photograph under it: as many times as large, and of a network without padding the middle.
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  const [tall, wide] = fed.dims.slice(2).map((side, i) => side * Math.max(1, Math.round([height, width][i] / side)));
  $("before").width = width;
  $("before").height = height;
  $("before").getContext("2d").drawImage(canvas, (width - wide) / 2, (height - tall) / 2, wide, tall);
  say(`Done: ${width}×${height} pixels from ${fed.dims[3]}×${fed.dims[2]}.`);
}

const response = await fetch(url);
how = await response.json();
listen(how.samples.map(({ name, url: path }) => ({ name, url: new URL(path, root).href })), take);
if ($("compare")) {
  makeComparable($("compare"));
  $("save").addEventListener("click", () => save($("after"), "result.png"));
}
document.body.dataset.state = "ready";
