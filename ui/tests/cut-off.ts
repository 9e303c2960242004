/**
 * Finds text that can't be read: clipped without an ellipsis, with one and nothing that holds the whole text, outside
 * its button or panel, or under other text. It runs in the page and so must not use anything outside itself.
 */
export function cutOff(part: string): string[] {
  const found = new Set<string>();
  const root = [...document.querySelectorAll<HTMLElement>(part)].at(-1) ?? document.body;
  const name = (element: Element) => {
    const marked = element.closest('[data-testid]')?.getAttribute('data-testid');
    return `<${element.tagName.toLowerCase()} class="${element.getAttribute('class')?.replace(/ ?s(velte)?-\w+/g, '') ?? ''}">${marked ? ` in ${marked}` : ''}`;
  };
  const short = (text: string) => `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”`;
  const scrolls = (value: string) => value === 'auto' || value === 'scroll';
  const clips = (value: string) => value === 'hidden' || value === 'clip';
  const holds =
    'button, a, label, [role="menuitem"], [role="dialog"], [role="alertdialog"], [role="menu"], aside, .notice';

  interface Seen {
    element: HTMLElement;
    text: string;
    left: number;
    right: number;
    top: number;
    bottom: number;
  }
  const seen: Seen[] = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.nodeValue?.trim() ?? '';
    const element = node.parentElement;
    if (text === '' || !element) continue;
    if (element.closest('.visually-hidden, option, [hidden], [inert]')) continue;
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    let parts = [...range.getClientRects()].filter(({ width, height }) => width > 0 && height > 0);
    // What it may be seen through, from the inside to the outside.
    let scrolled = { x: false, y: false };
    for (let box: HTMLElement | null = element; box && parts.length > 0; box = box.parentElement) {
      const style = getComputedStyle(box);
      if (style.display === 'inline' || style.display === 'contents') continue;
      const edge = box.getBoundingClientRect();
      const holder = box.matches(holds);
      for (const rect of parts) {
        const across = rect.left < edge.left - 1.5 || rect.right > edge.right + 1.5;
        const down = rect.top < edge.top - 1.5 || rect.bottom > edge.bottom + 1.5;
        if (across && clips(style.overflowX) && !scrolled.x) {
          const whole = element.closest('[title]')?.getAttribute('title') ?? '';
          if (style.textOverflow !== 'ellipsis') found.add(`clipped: ${short(text)} by ${name(box)}`);
          else if (!whole.includes(text))
            found.add(`shortened without a title: ${short(text)} in ${name(box)}`);
        }
        if (down && clips(style.overflowY) && !scrolled.y)
          found.add(`clipped below: ${short(text)} by ${name(box)}`);
        if (holder && across && !scrolled.x && style.overflowX === 'visible')
          found.add(`outside: ${short(text)} of ${name(box)}`);
        if (holder && down && !scrolled.y && style.overflowY === 'visible')
          found.add(`outside: ${short(text)} of ${name(box)}`);
      }
      if (style.overflowX !== 'visible') {
        parts = parts
          .map((rect) => {
            const left = Math.max(rect.left, edge.left);
            const top = Math.max(rect.top, edge.top);
            return new DOMRect(
              left,
              top,
              Math.min(rect.right, edge.right) - left,
              Math.min(rect.bottom, edge.bottom) - top,
            );
          })
          .filter(({ width, height }) => width > 0 && height > 0);
        scrolled = { x: scrolled.x || scrolls(style.overflowX), y: scrolled.y || scrolls(style.overflowY) };
      }
      if (style.position === 'fixed') break;
    }
    for (const { left, right, top, bottom } of parts) seen.push({ element, text, left, right, top, bottom });
  }

  // Text on text, unless something opaque lies between.
  seen.sort((a, b) => a.top - b.top);
  for (const [at, one] of seen.entries()) {
    for (let next = at + 1; next < seen.length; next += 1) {
      const other = seen[next] as Seen;
      if (other.top >= one.bottom - 3) break;
      if (one.element === other.element) continue;
      const [left, right] = [Math.max(one.left, other.left), Math.min(one.right, other.right)];
      const [top, bottom] = [Math.max(one.top, other.top), Math.min(one.bottom, other.bottom)];
      if (right - left < 2 || bottom - top < 3) continue;
      const stack = document.elementsFromPoint((left + right) / 2, (top + bottom) / 2);
      const below = Math.max(stack.indexOf(one.element), stack.indexOf(other.element));
      const isCovered = stack
        .slice(0, below)
        .some((element) => /^rgb\(/.test(getComputedStyle(element).backgroundColor));
      if (below >= 0 && !isCovered && stack.includes(one.element) && stack.includes(other.element))
        found.add(`over each other: ${short(one.text)} and ${short(other.text)}`);
    }
  }

  // What stands in a field.
  const canvas = document.createElement('canvas').getContext('2d');
  for (const field of root.querySelectorAll<HTMLInputElement | HTMLSelectElement>('input, select')) {
    if (field.matches('[type="checkbox"], [type="radio"], [type="password"], [readonly]')) continue;
    if (!field.checkVisibility({ visibilityProperty: true }) || !canvas) continue;
    const text =
      field instanceof HTMLSelectElement ? field.selectedOptions[0]?.text : field.value || field.placeholder;
    if (!text) continue;
    const style = getComputedStyle(field);
    canvas.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (canvas.measureText(text).width > room + 1)
      found.add(`too long for its field: ${short(text)} in ${name(field)}`);
  }

  // What is scrolled sideways, though it is neither a table nor text of fixed width.
  for (const box of [root, ...root.querySelectorAll<HTMLElement>('*')]) {
    if (box.scrollWidth <= box.clientWidth + 1 || box.clientWidth === 0) continue;
    if (!scrolls(getComputedStyle(box).overflowX)) continue;
    if (box.matches('[role="grid"], pre') || box.querySelector(':scope > table')) continue;
    found.add(`scrolls sideways: ${name(box)}`);
  }
  return [...found];
}
