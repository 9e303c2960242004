/** Orders versions as numbers: 34.9 before 34.10. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a.split('.'), b.split('.')];
  for (let i = 0; i < Math.max(x.length, y.length); i += 1) {
    const order = (Number.parseInt(x[i] ?? '0', 10) || 0) - (Number.parseInt(y[i] ?? '0', 10) || 0);
    if (order !== 0) return order;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}
