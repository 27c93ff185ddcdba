/** Scripts that a page runs on itself and that give a list of what is wrong with it, for the tests and the bench of the web page. */

/**
 * Texts that WCAG 2.2 AA (1.4.3) calls too faint: below 4.5:1, or 3:1 for large ones. Disabled controls are exempt there, and what
 * is not seen does not count.
 */
export const FAINT = `(() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (color) => {
    if (!known.has(color)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      known.set(color, [r, g, b, a / 255]);
    }
    return known.get(color);
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
  const linear = (value) => (value /= 255) <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const ancestors = (one) => one === null ? [] : [one, ...ancestors(one.parentElement)];
  const behind = (chain) => chain.toReversed()
    .reduce((below, one) => over(rgba(getComputedStyle(one).backgroundColor), below), [255, 255, 255]);
  const faint = [];
  for (const one of document.querySelectorAll("body *")) {
    const text = [...one.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data).join("").trim();
    const typed = one.matches("input:not([type=checkbox]), textarea, select") ? one.value || one.placeholder : "";
    if (text === "" && typed === "" || !one.checkVisibility({ visibilityProperty: true })) continue;
    const { width, height } = one.getBoundingClientRect();
    if (width < 2 || height < 2 || one.closest(":disabled, .visually-hidden, svg") !== null) continue;
    const style = getComputedStyle(one);
    const chain = ancestors(one);
    const below = behind(chain);
    const opacity = chain.reduce((all, each) => all * Number(getComputedStyle(each).opacity), 1);
    const [r, g, b, a] = rgba(style.color);
    const shown = over([r, g, b, a * opacity], below);
    const [light, dark] = [luminance(shown), luminance(below)].sort((x, y) => y - x);
    const ratio = (light + .05) / (dark + .05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700 ? 3 : 4.5;
    if (ratio < least) faint.push(\`\${one.tagName}.\${one.className} "\${(text || typed).slice(0, 40)}" \${ratio.toFixed(2)}:1\`);
  }
  return faint;
})()`;

/** Controls and pictures that a screen reader would have no name for. */
export const NAMELESS =
  `[...document.querySelectorAll("input, select, textarea, button, a[href], progress, img, dialog")]
  .filter((one) => one.checkVisibility() && one.type !== "hidden")
  .filter((one) => {
    const label = one.getAttribute("aria-label") ?? "";
    const by = (one.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent);
    const own = one.matches("button, a") ? one.textContent : one.matches("img") ? one.alt : "";
    const labels = [...one.labels ?? []].map(({ textContent }) => textContent);
    return [label, ...by, own, ...labels].every((text) => (text ?? "").trim() === "");
  })
  .map((one) => one.outerHTML.slice(0, 200))`;

/** What has to be scrolled sideways to be seen, and labels of the menu that are wider than their place. */
export const SIDEWAYS = `[
  ...[...document.querySelectorAll("nav, .table-wrap")].filter((one) => one.scrollWidth > one.clientWidth),
  ...[...document.querySelectorAll(".side nav a")]
    .filter((one) => one.checkVisibility() && one.lastElementChild.getBoundingClientRect().width > one.getBoundingClientRect().width),
].map((one) => one.className || one.textContent)`;

/**
 * Controls that WCAG 2.2 AA (2.5.8) calls too small: neither is there 24 by 24 pixels that reach them, nor are they so far from others that a
 * circle of 24 pixels around each holds one. Links within a sentence are exempt there.
 */
export const SMALL = `(() => {
  const kinds = "a[href], button, input, select, textarea, summary";
  const inSentence = (one) => getComputedStyle(one).display === "inline" && one.parentElement.textContent.trim() !== one.textContent.trim();
  const all = [...document.querySelectorAll(kinds)]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest(":disabled, .visually-hidden, .skip, [inert]"));
  const modal = document.querySelector("dialog[open]");
  const targets = modal === null ? all : all.filter((one) => modal.contains(one));
  const center = (one) => {
    const { left, top, width, height } = one.getBoundingClientRect();
    return { x: left + width / 2, y: top + height / 2 };
  };
  const hits = (one, x, y) => {
    const found = document.elementFromPoint(x, y);
    return found?.closest(kinds) === one || found?.closest("label")?.control === one;
  };
  const small = targets.filter((one) => {
    const { width, height } = one.getBoundingClientRect();
    if (width === 0 || height === 0 || width >= 24 && height >= 24 || inSentence(one)) return false;
    one.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const { x, y } = center(one);
    return ![[x - 11, y], [x + 11, y], [x, y - 11], [x, y + 11]].every(([left, top]) => hits(one, left, top));
  });
  const crowded = small.filter((one) => {
    const { x, y } = center(one);
    return targets.some((other) => {
      if (other === one) return false;
      const { left, top, right, bottom } = other.getBoundingClientRect();
      if (right === left) return false;
      const near = Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));
      const middle = center(other);
      return near < 12 || small.includes(other) && Math.hypot(middle.x - x, middle.y - y) < 24;
    });
  });
  scrollTo(0, 0);
  return crowded.map((one) => {
    const { width, height } = one.getBoundingClientRect();
    return \`\${one.tagName} "\${(one.ariaLabel || one.textContent || one.placeholder || one.type).trim().slice(0, 30)}" \${width.toFixed(0)} x \${height.toFixed(0)}\`;
  });
})()`;

/** Pictures without a size of their own, which move the page when they come, or that are sent much larger than they are shown. */
export const HEAVY_PICTURES =
  `[...document.querySelectorAll("img")].filter((one) => one.complete && one.naturalWidth > 0)
  .filter((one) => one.naturalWidth > 2 * devicePixelRatio * one.clientWidth + 64).map((one) => one.src)`;

/** What a document lacks that readers of it need. */
export const DOCUMENT_FAULTS = `(() => {
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter((one) => one.checkVisibility() && !one.closest("dialog"))
    .map(({ tagName }) => Number(tagName[1]));
  const viewport = document.querySelector("meta[name=viewport]")?.content ?? "";
  const faults = {
    "no language": document.documentElement.lang === "",
    "no title": document.title.trim() === "",
    "no description": (document.querySelector("meta[name=description]")?.content ?? "") === "",
    "no viewport": !viewport.includes("width=device-width"),
    "cannot be zoomed": /user-scalable=no|maximum-scale/.test(viewport),
    "no main": document.querySelectorAll("main").length !== 1,
    "not one h1": levels.filter((level) => level === 1).length !== 1,
    "a level of headings is left out": levels.some((level, i) => level > (levels[i - 1] ?? 0) + 1),
    "an id twice": new Set(ids).size !== ids.length,
    "a tabindex above 0": document.querySelector("[tabindex]:not([tabindex='0'], [tabindex='-1'])") !== null,
    "no way to skip the menu": document.querySelector("a.skip") === null,
  };
  return Object.keys(faults).filter((name) => faults[name]);
})()`;
