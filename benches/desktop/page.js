// What runs inside of a page that is measured: times until something is painted, and frames. Put there by the driver,
// beside a `side` that knows how to use the grid of that page.
/* global side */
window.bench = (() => {
  const limit = 10_000;

  /** The next frame; resolves once it is painted. `look` is asked before, when all of the frame is settled. */
  const frame = (look = () => undefined) =>
    new Promise((resolve, reject) => {
      const none = setTimeout(() => reject(new Error(`no frame came in ${limit / 1000} s`)), limit);
      requestAnimationFrame((at) => {
        clearTimeout(none);
        const seen = look();
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve({ at, seen, painted: performance.now() });
        port2.postMessage(null);
      });
    });

  /** Milliseconds from `act` to the paint in which `isShown`. */
  async function painted(act, isShown, what = '') {
    await frame();
    const start = performance.now();
    act();
    for (;;) {
      const { seen, painted } = await frame(isShown);
      if (seen) return painted - start;
      if (painted - start > limit) throw new Error(`it was never shown: ${what} ${side.told?.() ?? ''}`);
    }
  }

  /**
   * Lengths of `count` frames in ms, while `work` does something in each; and what it found after each was painted. Who
   * paints one frame a second is not waited for: after a minute it is known how long they are.
   */
  async function frames(count, work = () => undefined, check = () => undefined) {
    const lengths = [];
    const found = [];
    let before = null;
    const start = performance.now();
    for (let n = 0; n < count && performance.now() - start < 60_000; n += 1) {
      const { at } = await frame(() => work(n));
      if (before !== null) lengths.push(at - before);
      before = at;
      const seen = check();
      if (seen !== undefined) found.push(seen);
    }
    return { lengths, found };
  }

  return { frame, painted, frames };
})();
