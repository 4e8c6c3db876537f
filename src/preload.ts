/** Provides all that a page would load on demand. */
import * as cpu from './kernels/cpu';
import * as tensorflow from './kernels/tensorflow';
import * as wasm from './kernels/wasm';
import * as webgpu from './kernels/webgpu';
import {provideParts} from './on_demand';
import * as svd from './optim/host_svd';

provideParts({cpu, tensorflow, wasm, webgpu}, svd);
