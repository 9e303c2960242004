// How wide a column must be for all that is on screen of it.

/** Room for margins that are not counted one by one. */
const SLACK = 8;

export function fittingWidth(grid: HTMLElement, column: number): number {
  let widest = 0;
  for (const cell of grid.querySelectorAll<HTMLElement>(`[aria-colindex="${column + 1}"]`)) {
    widest = Math.max(widest, naturalWidth(cell));
  }
  return Math.ceil(widest) + SLACK;
}

/** How wide an element would be if nothing in it had to give way. */
function naturalWidth(element: HTMLElement): number {
  const style = getComputedStyle(element);
  let width = Number.parseFloat(style.paddingLeft) + Number.parseFloat(style.paddingRight);
  let parts = 0;
  for (const node of element.childNodes) {
    if (node instanceof HTMLElement) {
      if (getComputedStyle(node).position === 'absolute') continue;
      width += node.childNodes.length > 0 ? naturalWidth(node) : node.offsetWidth;
    } else if (node instanceof Element) {
      width += node.getBoundingClientRect().width;
    } else if (node instanceof Text && node.data.trim() !== '') {
      const range = document.createRange();
      range.selectNodeContents(node);
      width += range.getBoundingClientRect().width;
    } else continue;
    parts += 1;
  }
  return width + Math.max(0, parts - 1) * (Number.parseFloat(style.columnGap) || 0);
}
