// Two pictures on top of one another, and a slider that says how much of the upper one is seen.

/** `figure` holds a .stack with a canvas .over, and a range. */
export function makeComparable(figure) {
  const stack = figure.querySelector(".stack"), over = figure.querySelector(".over");
  const range = figure.querySelector("input[type=range]");
  const apply = () => {
    over.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`;
    stack.style.setProperty("--share", `${range.value}%`);
  };
  const follow = (event) => {
    const { left, width } = stack.getBoundingClientRect();
    range.value = (100 * (event.clientX - left)) / width;
    apply();
  };
  range.addEventListener("input", apply);
  stack.addEventListener("pointerdown", (event) => {
    stack.setPointerCapture(event.pointerId);
    follow(event);
  });
  stack.addEventListener("pointermove", (event) => {
    if (stack.hasPointerCapture(event.pointerId)) follow(event);
  });
  apply();
}
