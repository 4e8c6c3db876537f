/** The library's worker, from its source. */
import '@tensorflow/tfjs-backend-wasm';
import {env} from '@tensorflow/tfjs-core';
import '../../src/worker/training_worker';

// The threads are the library's: those of tfjs's own binary take scripts from blobs, which the policy of the page forbids.
env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
