/** Provides all that a page would load on demand, in Node. */
import {kernelModules} from '../kernels/kernel_modules';
import {installKernels} from '../kernels/tensorflow';
import {kernelHistory, restoreKernelHistory} from '../kernels/tensorflow/install';
import * as refreshModule from '../owlore/optimizer/step/refreshes';
import {refreshes} from '../owlore/optimizer/step/update';
import './in_browser';
import {prepareTfjsNode} from '../tfjs/tfjs_node';

prepareTfjsNode();
kernelModules.get('tensorflow')!.provide({installKernels, kernelHistory, restoreKernelHistory});
refreshes.provide(refreshModule);
