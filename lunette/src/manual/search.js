// The search box: what begins with the text comes first, then what contains it.
const most = 40;
const root = document.documentElement.dataset.root;
const box = document.getElementById("search");
const list = document.getElementById("found");
let chosen = -1;

function rank(name, text) {
    const at = name.toLowerCase().indexOf(text);
    return at < 0 ? -1 : name.length === text.length ? 0 : at === 0 || /[$._: ]/.test(name[at - 1]) ? 1 : 2;
}

function show() {
    const text = box.value.trim().toLowerCase();
    const found = text === "" ? [] : names.map((entry) => [rank(entry[0], text), entry]).filter((pair) => pair[0] >= 0);
    found.sort((a, b) => a[0] - b[0] || a[1][0].length - b[1][0].length);
    list.replaceChildren(...found.slice(0, most).map(([, [name, page, link]]) => {
        const item = document.createElement("li");
        const anchor = document.createElement("a");
        const where = document.createElement("span");
        anchor.href = root + link;
        where.textContent = page;
        anchor.append(name, where);
        item.append(anchor);
        return item;
    }));
    list.hidden = found.length === 0;
    chosen = -1;
}

function choose(next) {
    const items = list.children;
    if (items.length === 0) return;
    items[chosen]?.classList.remove("chosen");
    chosen = (next + items.length) % items.length;
    items[chosen].classList.add("chosen");
    items[chosen].scrollIntoView({ block: "nearest" });
}

box.addEventListener("input", show);
box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") list.querySelector(".chosen a, a")?.click();
    else if (event.key === "Escape") list.hidden = true;
    else return;
    event.preventDefault();
});
list.addEventListener("click", () => { list.hidden = true; });
document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== box) {
        event.preventDefault();
        box.focus();
    }
});
