/** Draws what has changed, one part in a frame, so that no task is long. */

class Frames {
  private readonly due = new Set<() => void>();
  private isAsked = false;

  /** Has each of these called, once, in a frame of its own; a hidden tab draws nothing until it is seen. */
  ask(...parts: (() => void)[]): void {
    for (const part of parts) this.due.add(part);
    if (this.isAsked || this.due.size === 0) return;
    this.isAsked = true;
    requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const [part] = this.due;
    this.due.delete(part!);
    this.isAsked = false;
    try {
      part!();
    } finally {
      this.ask();
    }
  }
}

/** Those of the page. */
export const frames = new Frames();
