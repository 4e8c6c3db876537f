/** Provides all that a page would load on demand: for Node, and for the file of a script tag, which cannot load further files. */
import * as cpu from '../kernels/cpu';
import {kernelModules, type KernelModule} from '../kernels/kernel_modules';
import * as wasm from '../kernels/wasm';
import * as webgpu from '../kernels/webgpu';
import {hostSvd} from '../owlore/optimizer/state/basis';
import * as svd from '../owlore/optimizer/state/host_svd';
import * as saved from '../owlore/optimizer/state/saved_state';
import {savedState} from '../owlore/owlore_optimizer';
import {outlierCounts} from '../owlore/scores/outlier';
import * as counts from '../owlore/scores/outlier_counts';

for (const [name, kernels] of Object.entries<KernelModule>({cpu, wasm, webgpu})) {
  kernelModules.get(name)!.provide(kernels);
}
hostSvd.provide(svd);
savedState.provide(saved);
outlierCounts.provide(counts);
