/** Provides all that a page would load on demand, in Node. */
import * as cpu from './kernels/cpu';
import * as tensorflow from './kernels/tensorflow';
import * as wasm from './kernels/wasm';
import * as webgpu from './kernels/webgpu';
import {provideParts} from './on_demand';
import * as svd from './optim/host_svd';
import * as ofRefreshes from './optim/refreshes';
import * as saved from './optim/saved_state';
import {refreshes} from './optim/step';
import * as variants from './optim/variants';
import * as counts from './scores/outlier_counts';

// TensorFlow's notes on the processor, which a tfjs-node that is loaded later would write
if (globalThis.process) process.env.TF_CPP_MIN_LOG_LEVEL ??= '1'; // the tests in a page have no process

provideParts({cpu, tensorflow, wasm, webgpu}, svd, counts, saved, variants);
refreshes.provide(ofRefreshes);
