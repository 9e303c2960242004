/** The present by the cloud's clock, for relative times: it moves often enough that no minute is missed for long. */
export class Clock {
  now = $state(Date.now());
  /** By how much the cloud's clock is ahead of this computer's, in ms. */
  #ahead = 0;

  start(): () => void {
    const timer = setInterval(() => this.#read(), 15_000);
    return () => clearInterval(timer);
  }

  set(aheadSeconds: number): void {
    this.#ahead = aheadSeconds * 1000;
    this.#read();
  }

  /** To the millisecond. Who asks within an effect is run again when `now` moves. */
  exact(): number {
    return Math.max(this.now, Date.now() + this.#ahead);
  }

  #read(): void {
    this.now = Date.now() + this.#ahead;
  }
}
