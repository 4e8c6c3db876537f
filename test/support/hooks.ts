import type {RootHookObject} from 'mocha';
import {backendSummary} from './backends';
import {checkWarnings, recordWarnings} from './warnings';

/**
 * What holds for every test of the run. Warnings are checked inside the test's own function and not in
 * an `afterEach`: mocha ends the whole run when a root hook fails.
 */
export const mochaHooks: RootHookObject = {
  beforeAll() {
    process.stdout.write(`${backendSummary}\n`);
    recordWarnings();
  },
  beforeEach(this: Mocha.Context) {
    const test = this.currentTest;
    const body = test?.fn as ((this: Mocha.Context) => unknown) | undefined;
    if (!test || !body) return;
    test.fn = async function (this: Mocha.Context) {
      await body.call(this);
      checkWarnings();
    };
  },
  /** Warnings of `after` hooks, and of tests that failed before they could be checked. */
  afterAll() {
    checkWarnings();
  },
};
