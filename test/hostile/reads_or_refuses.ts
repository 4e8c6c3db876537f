import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {fuzz} from '../support/fuzz';

/** The longest that a case may take, in milliseconds: of the slowest, a template that runs into its limit, some times over. */
const LONGEST = 20_000;

/** Runs `body`, which may be refused by an error of this library, in time and without a tensor left. */
async function readsOrRefuses(message: RegExp, body: () => unknown): Promise<void> {
  const {numTensors} = tf.memory();
  const start = performance.now();
  try {
    await body();
  } catch (error) {
    const {name, message: said} = error as Error;
    // the engine's own are a TypeError, a RangeError, a SyntaxError …
    expect([name, said.slice(0, 2000)]).to.satisfy(
      () => /^(Error|UsageError)$/.test(name) && message.test(said) && said.length < 3000,
      `${name}: ${said.slice(0, 300)}`,
    );
  }
  expect(performance.now() - start).to.be.below(LONGEST);
  expect(tf.memory().numTensors).to.equal(numTensors);
}

/** For every case that `cases` gives, in as many runs as the fuzzer is told to make. */
export async function always<T>(
  cases: fc.Arbitrary<T>,
  message: RegExp,
  body: (given: T) => unknown,
  runs = 600,
): Promise<void> {
  const property = fc.asyncProperty(cases, (given) => readsOrRefuses(message, () => body(given)));
  await fc.assert(property, fuzz(runs) as fc.Parameters<[T]>);
}
