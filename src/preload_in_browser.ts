/** Provides all that a page would load on demand: for Node, and for the file of a script tag, which cannot load further files. */
import * as cpu from './kernels/cpu';
import {kernelModules, type KernelModule} from './kernels/kernel_modules';
import * as wasm from './kernels/wasm';
import * as webgpu from './kernels/webgpu';
import {hostSvd} from './optim/basis';
import * as svd from './optim/host_svd';
import * as saved from './optim/saved_state';
import {savedState} from './owlore_optimizer';
import {outlierCounts} from './scores/outlier';
import * as counts from './scores/outlier_counts';

for (const [name, kernels] of Object.entries<KernelModule>({cpu, wasm, webgpu})) {
  kernelModules.get(name)!.provide(kernels);
}
hostSvd.provide(svd);
savedState.provide(saved);
outlierCounts.provide(counts);
