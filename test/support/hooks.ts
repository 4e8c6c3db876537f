import * as tf from '@tensorflow/tfjs-core';
import {config} from 'chai';
import fc from 'fast-check';
import type {RootHookObject} from 'mocha';
// As Node has it. Not in load_backends.ts, whose copies of the modules are not those of the tests.
import '../../src/preload/in_node';
import {createRandom} from '../../src/common/random';
import {forgetLines} from '../../src/common/say_once';
import {defaultBackend} from './backends';
import {checkWarnings, forgetWarnings, recordWarnings} from './warnings';

/**
 * Random cases, and weights that are drawn without a seed, are the same in each run, whichever other tests there are; `npm run fuzz`
 * draws others.
 */
const SEED = 240518380;

function seedRandom(seed: number): void {
  const random = createRandom(seed);
  Math.random = () => random.next();
}

/** A number below 2 ** 24. */
function hash(text: string): number {
  return Array.from(text).reduce((sum, letter) => (31 * sum + letter.codePointAt(0)!) % 2 ** 24, 0);
}

/**
 * What holds for every test of the run. Warnings are checked inside the test's own function and not in
 * an `afterEach`: mocha ends the whole run when a root hook fails.
 */
export const mochaHooks: RootHookObject = {
  async beforeAll() {
    await tf.setBackend(defaultBackend);
    recordWarnings();
    // Proxies tell of assertions that do not exist, which TypeScript refuses, and take more time than the assertions themselves.
    config.useProxy = false;
    // Where Stryker looks whether a test fails, the smallest case that does is of no use; and the tests run again and again in one
    // process: what a test that has failed left under its name would make all others fail that use the name.
    const isMutated = '__stryker__' in globalThis;
    fc.configureGlobal({seed: SEED, endOnFailure: isMutated});
    if (isMutated) tf.disposeVariables();
    seedRandom(SEED);
    // What a test starts in a process of its own compiles the same modules in another way, which the coverage would mix with this one.
    if ('process' in globalThis) delete process.env.NODE_V8_COVERAGE;
  },
  beforeEach(this: Mocha.Context) {
    const test = this.currentTest;
    forgetLines();
    seedRandom(SEED + hash(test?.fullTitle() ?? ''));
    const body = test?.fn as ((this: Mocha.Context) => unknown) | undefined;
    if (!test || !body) return;
    test.fn = async function (this: Mocha.Context) {
      try {
        await body.call(this);
      } catch (error) {
        forgetWarnings();
        throw error;
      }
      checkWarnings();
    };
  },
  /** For the warnings of `after` hooks. */
  afterAll() {
    checkWarnings();
  },
};
