/**
 * What runs around the tests in the page of `test_webgl.ts`: mocha, started before they are loaded, and its results as messages to
 * the page's server.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';
import {mochaHooks} from '../../test/support/hooks';
import {runMocha, send, type Counts} from './run_mocha';

/** What the page reports in the end. */
export interface SuiteReport extends Counts {
  /** The GPU, by WebGL's word. */
  runsOn: string;
  /** Bits of the floating point numbers that it computes with. */
  bits: number;
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
    runMocha({runsOn, bits: tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED') ? 32 : 16});
  } catch (error) {
    send('/error', error instanceof Error ? error.stack : String(error));
  }
}
