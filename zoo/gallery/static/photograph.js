// A photograph from a file, a drop, the clipboard or the samples, to whoever wants it.

const $ = (id) => document.getElementById(id);

/** Call `take` with a Blob or URL whenever a photograph is chosen; `samples` are { name, url }. */
export function listen(samples, take) {
  $("file").addEventListener("change", () => $("file").files[0] && take($("file").files[0]));
  const drop = $("drop");
  for (const event of ["dragenter", "dragover"]) {
    drop.addEventListener(event, (e) => { e.preventDefault(); drop.classList.add("over"); });
  }
  for (const event of ["dragleave", "drop"]) {
    drop.addEventListener(event, (e) => { e.preventDefault(); drop.classList.remove("over"); });
  }
  drop.addEventListener("drop", (e) => e.dataTransfer.files[0] && take(e.dataTransfer.files[0]));
  document.addEventListener("paste", (e) => {
    const file = [...(e.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file) take(file);
  });
  for (const { name, url } of samples) {
    const button = document.createElement("button");
    button.type = "button";
    const image = new Image(96, 96);
    image.src = url;
    image.alt = `Use the photograph ${name}`;
    button.append(image);
    button.addEventListener("click", () => take(url));
    $("samples").append(button);
  }
  $("samples").hidden = samples.length === 0;
}
