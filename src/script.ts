/** The file for a script tag, which cannot load further files: the public API and all that it needs in a browser. */
import * as cpu from './kernels/cpu';
import * as wasm from './kernels/wasm';
import * as webgpu from './kernels/webgpu';
import {provideParts} from './on_demand';
import * as svd from './optim/host_svd';
import * as saved from './optim/saved_state';
import * as variants from './optim/variants';
import * as counts from './scores/outlier_counts';

provideParts({cpu, wasm, webgpu}, svd, counts, saved, variants);

export * from './index';
export {applyLora, loadLora} from './lora/index';
