// Finds headings. The index is fetched when the field is first used; opened from a file, where that cannot be, there is no search.
const script = document.querySelector("script[data-root]");
const root = script.dataset.root;
const box = document.querySelector(".search");
const input = box.querySelector("input");
const list = box.querySelector("ul");
const MOST = 12;
let index;

if (location.protocol !== "file:") box.hidden = false;
if (matchMedia("(max-width: 820px)").matches) document.querySelector(".menu details").open = false;

async function find() {
  index ??= await (await fetch(`${root}/search-index.json`)).json();
  const words = input.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const found = words.length === 0 ? [] : index.filter(({ title, page }) => {
    const text = `${title} ${page}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }).slice(0, MOST);
  list.replaceChildren(...found.map(({ title, page, at }) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `${root}/${at}`;
    link.textContent = title;
    const where = document.createElement("small");
    where.textContent = page;
    link.append(where);
    item.append(link);
    return item;
  }));
  list.hidden = found.length === 0;
}

input.addEventListener("input", find);
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter") list.querySelector("a")?.click();
  if (event.key === "Escape") input.value = "", list.hidden = true;
});
list.addEventListener("click", () => list.hidden = true);
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement === document.body) event.preventDefault(), input.focus();
});
