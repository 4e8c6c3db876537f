import {expect} from 'chai';

/** A fixture's tolerance: `|x − ref| ≤ atol + rtol·|ref|` for every element, and `rms(x − ref) ≤ rms` over the group. */
export interface Tolerance {
  rtol: number;
  atol: number;
  rms?: number;
}

/** Collects pairs of computed and reference values that share one tolerance, and checks them as one group. */
export class Comparison {
  private squares = 0;
  private count = 0;

  constructor(
    private readonly what: string,
    private readonly tolerance: Tolerance,
  ) {}

  /** Checks every element of `actual` against `reference`. */
  add(where: string, actual: ArrayLike<number>, reference: ArrayLike<number>): void {
    expect(actual.length, `${this.what} ${where}: length`).to.equal(reference.length);
    const {rtol, atol} = this.tolerance;
    for (let i = 0; i < actual.length; i++) {
      const difference = Math.abs(actual[i]! - reference[i]!);
      if (!(difference <= atol + rtol * Math.abs(reference[i]!))) {
        expect.fail(
          `${this.what} ${where}, element ${i}: got ${actual[i]}, want ${reference[i]} ± ${atol} + ${rtol}·|ref|`,
        );
      }
      this.squares += difference ** 2;
      this.count++;
    }
  }

  /** Checks the root mean square of all differences. Fails if nothing was compared. */
  finish(): void {
    expect(this.count, `${this.what}: values compared`).to.be.greaterThan(0);
    if (this.tolerance.rms === undefined) return;
    const rms = Math.sqrt(this.squares / this.count);
    expect(rms, `${this.what}: rms difference`).to.be.at.most(this.tolerance.rms);
  }
}
