/** Elements of the page. Texts, whoever wrote them, are put in as texts alone. */

/** The element with an id, of which the page is known to have one. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element '${id}'`);
  return found as T;
}

/** A new element with properties and children; a text is a text node. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<Omit<HTMLElementTagNameMap[K], 'style'>> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Sets the text of an element, unless it is that already. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** The second click of a double click does nothing: another button may have come to its place. */
export function onClick(id: string, act: () => void): void {
  byId(id).addEventListener('click', ({detail}) => {
    if (detail < 2) act();
  });
}

/** Lets the browser do what waits, such as a click, before the next part of a longer work. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Sets a property of an element that has another value; what is set anew, the browser lays out anew. */
export function setProperty<T extends HTMLElement, K extends keyof T>(
  target: T,
  name: K,
  value: T[K],
): void {
  if (target[name] !== value) target[name] = value;
}

/** Calls `work` at once, but not sooner than so many milliseconds after the last time. */
export function atMostEvery(work: () => void, milliseconds: number): () => void {
  let last = -Infinity;
  let isAsked = false;
  const call = () => {
    isAsked = false;
    last = performance.now();
    work();
  };
  return () => {
    if (isAsked) return;
    isAsked = true;
    const wait = last + milliseconds - performance.now();
    if (wait > 0) setTimeout(call, wait);
    else call();
  };
}

/** Calls `work` when nothing more was asked for in some milliseconds. */
export function afterPause(work: () => void, milliseconds: number): () => void {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(work, milliseconds);
  };
}

/** Milliseconds in which a key that is pressed twice comes again. */
const PRESSED_TWICE = 600;

/** Of a group: has the first button in it that can be pressed take the focus a moment later, where the group itself has it then. */
export function buttonFocus(group: HTMLElement): () => void {
  return afterPause(() => {
    if (document.activeElement !== group) return;
    const button = group.querySelector<HTMLElement>('button:enabled:not([hidden])');
    button?.focus({preventScroll: true});
  }, PRESSED_TWICE);
}

const dark = matchMedia('(prefers-color-scheme: dark)');
const colors = new Map<string, string>();
dark.addEventListener('change', () => colors.clear());

/** The colour of a variable of the style sheet, which is asked once: each question has the browser compute styles. */
export function color(name: string): string {
  let found = colors.get(name);
  if (found === undefined) {
    found = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    colors.set(name, found);
  }
  return found;
}

/** Calls `work` when the colours have changed. */
export function onColorsChange(work: () => void): void {
  dark.addEventListener('change', work);
}
