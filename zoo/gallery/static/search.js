// The models that a search and a chosen task leave. Without scripts all are there.

const $ = (id) => document.getElementById(id);
const cards = [...document.querySelectorAll("#cards > li")];
const tasks = [...document.querySelectorAll(".filters button")];

function filter() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const task = tasks.find((button) => button.ariaPressed === "true")?.dataset.task;
  let left = 0;
  for (const card of cards) {
    const fits = words.every((word) => card.dataset.words.includes(word));
    card.hidden = !fits || (task !== undefined && card.dataset.task !== task);
    left += card.hidden ? 0 : 1;
  }
  const all = `${cards.length} model${cards.length === 1 ? "" : "s"}`;
  $("found").textContent = left === cards.length ? all : `${left} of ${all}`;
  $("nothing").hidden = left > 0;
}

function choose(button) {
  const pressed = button?.ariaPressed !== "true";
  for (const other of tasks) other.ariaPressed = String(other === button && pressed);
  filter();
}

if (cards.length) {
  $("finder").hidden = false;
  $("search").addEventListener("input", filter);
  for (const button of tasks) button.addEventListener("click", () => choose(button));
  $("clear").addEventListener("click", () => {
    $("search").value = "";
    choose(null);
    $("search").focus();
  });
  filter(); // a browser may have kept the text
}
