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
import {prepareTfjsNode} from './tfjs/tfjs_node';

prepareTfjsNode();
provideParts({cpu, tensorflow, wasm, webgpu}, svd, counts, saved, variants);
refreshes.provide(ofRefreshes);
