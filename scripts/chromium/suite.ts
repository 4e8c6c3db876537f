/**
 * What runs around the tests in the page of `test_webgl.ts`: mocha, started before they are loaded, and its results as messages to
 * the page's server.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';
import {mochaHooks} from '../../test/support/hooks';

/** What the page posts to `/progress`: a test that has ended, or a title of tests. */
export interface Progress {
  /** Titles of the suites around it, and its own. */
  path: string[];
  state: 'passed' | 'failed' | 'skipped';
  milliseconds: number;
  /** What went wrong. */
  error?: string;
}

/** What the page reports in the end. */
export interface SuiteReport {
  /** The GPU, by WebGL's word. */
  runsOn: string;
  /** Bits of the floating point numbers that it computes with. */
  bits: number;
  passed: number;
  failed: number;
  skipped: number;
}

const search = new URL(location.href).searchParams;
const grep = search.get('grep');

mocha.setup({
  // Into the page, where nobody looks.
  reporter: 'dot',
  ui: 'bdd',
  timeout: 30_000,
  rootHooks: mochaHooks,
  ...(grep === null ? {} : {grep: new RegExp(grep)}),
});

/** Runs the tests that have been loaded since. */
export async function runSuite(): Promise<void> {
  try {
    await tf.setBackend('webgl');
    const gl = (tf.backend() as unknown as {getGPGPUContext(): {gl: WebGL2RenderingContext}}) // its inside
      .getGPGPUContext().gl;
    const info = gl.getExtension('WEBGL_debug_renderer_info');
    const runsOn = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    const report: SuiteReport = {
      ...{runsOn, bits: tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED') ? 32 : 16},
      ...{passed: 0, failed: 0, skipped: 0},
    };
    const count = (test: Mocha.Test, state: Progress['state'], error?: Error): void => {
      report[state]++;
      const progress: Progress = {path: test.titlePath(), state, milliseconds: test.duration ?? 0};
      if (error) progress.error = error.stack ?? error.message;
      send('/progress', progress);
    };
    mocha
      .run()
      .on('pass', (test) => count(test, 'passed'))
      .on('pending', (test) => count(test, 'skipped'))
      .on('fail', (test, error: Error) => count(test, 'failed', error))
      .on('end', () => send('/report', report));
  } catch (error) {
    send('/error', error instanceof Error ? error.stack : String(error));
  }
}

function send(path: string, body: unknown): void {
  void fetch(path, {method: 'POST', body: JSON.stringify(body)});
}
