import * as tf from '@tensorflow/tfjs-core';
import type {RootHookObject} from 'mocha';
// As Node has it. Not in load_backends.ts, whose copies of the modules are not those of the tests.
import '../../src/preload';
import {defaultBackend} from './backends';
import {checkWarnings, forgetWarnings, recordWarnings} from './warnings';

/**
 * What holds for every test of the run. Warnings are checked inside the test's own function and not in
 * an `afterEach`: mocha ends the whole run when a root hook fails.
 */
export const mochaHooks: RootHookObject = {
  async beforeAll() {
    await tf.setBackend(defaultBackend);
    recordWarnings();
  },
  beforeEach(this: Mocha.Context) {
    const test = this.currentTest;
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
