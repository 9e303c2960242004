// Cleaning up: what was made last goes first.
const stacks = new WeakMap();

/** Does `work` when the test ends, before whatever was registered earlier. */
export function atEnd(t, work) {
  let stack = stacks.get(t);
  if (!stack) {
    stack = [];
    stacks.set(t, stack);
    t.after(async () => {
      for (const work of stack.reverse()) await work();
    });
  }
  stack.push(work);
}
