import * as tf from '@tensorflow/tfjs-core';
import {checkChoice, checkKnown} from '../../options';
import * as fused from '../llama_kernel_names';
import {OwLoreAdam, OwLoreCountAbove, OwLoreMagnitudeSums} from '../kernel_names';
import {replaceKernel} from '../replacement';
import {createBatchMatMul} from './batch_mat_mul';
import {conv2DBackpropFilter} from './conv2d_backprop_filter';
import {
  depthwiseConv2dNativeBackpropFilter,
  depthwiseConv2dNativeBackpropInput,
} from './depthwise_conv2d_grads';
import {createFusedMatMul} from './fused_mat_mul';
import {createGather} from './gather';
import {createCast, createIdentity} from './identity';
import {preferModule} from './kernel';
import {maxPoolGrad} from './max_pool_grad';
import {simdAdam} from './simd_adam';
import {simdFusedMatMul} from './simd_fused_mat_mul';
import {isForModule, simdBatchMatMul} from './simd_mat_mul';
import {simdAttention, simdAttentionGrad} from './simd_attention';
import {simdCrossEntropy, simdCrossEntropyGrad} from './simd_cross_entropy';
import {simdCountAbove, simdMagnitudeSums} from './simd_magnitudes';
import {
  attach,
  attachNow,
  compileModule,
  simdModule,
  switchModule,
  type SimdModule,
} from './simd_module';
import {simdRMSNorm, simdRMSNormGrad} from './simd_rms_norm';
import {simdSwiGLU, simdSwiGLUGrad} from './simd_swiglu';
import {simdUnsortedSegmentSum, unsortedSegmentSum} from './unsorted_segment_sum';

/**
 * How each installed kernel is made from the one that it replaces (undefined where the backend has
 * none).
 */
const KERNELS: ReadonlyArray<[name: string, create: (stock: never) => unknown]> = [
  [tf.BatchMatMul, (stock) => preferModule(simdBatchMatMul, createBatchMatMul(stock), isForModule)],
  [
    tf._FusedMatMul,
    (stock) => preferModule(simdFusedMatMul, createFusedMatMul(stock), isForModule),
  ],
  [
    tf.UnsortedSegmentSum,
    () =>
      preferModule(
        simdUnsortedSegmentSum,
        unsortedSegmentSum,
        ({inputs: {x}}) => x.dtype === 'float32',
      ),
  ],
  [tf.GatherV2, createGather],
  [tf.Identity, createIdentity],
  [tf.Cast, createCast],
  [tf.Conv2DBackpropFilter, () => conv2DBackpropFilter],
  [tf.DepthwiseConv2dNativeBackpropFilter, () => depthwiseConv2dNativeBackpropFilter],
  [tf.DepthwiseConv2dNativeBackpropInput, () => depthwiseConv2dNativeBackpropInput],
  [tf.MaxPoolGrad, () => maxPoolGrad],
];

/** Kernels that tfjs has not, and the backend only with the module. */
const FUSED_KERNELS: ReadonlyArray<
  [name: string, run: (module: SimdModule, args: never) => unknown]
> = [
  [fused.OwLoreRMSNorm, simdRMSNorm],
  [fused.OwLoreRMSNormGrad, simdRMSNormGrad],
  [fused.OwLoreSwiGLU, simdSwiGLU],
  [fused.OwLoreSwiGLUGrad, simdSwiGLUGrad],
  [fused.OwLoreCrossEntropy, simdCrossEntropy],
  [fused.OwLoreCrossEntropyGrad, simdCrossEntropyGrad],
  [fused.OwLoreAttention, simdAttention],
  [fused.OwLoreAttentionGrad, simdAttentionGrad],
  [OwLoreAdam, simdAdam],
  [OwLoreMagnitudeSums, simdMagnitudeSums],
  [OwLoreCountAbove, simdCountAbove],
];

interface Installation {
  /** What was registered under each kernel name before. */
  replaced: Map<string, tf.KernelConfig | undefined>;
  ready: Promise<void>;
}

let installation: Installation | undefined;

/** Options of {@link installKernels}. */
export interface InstallKernelsOptions {
  /** `'auto'`: the SIMD module where the engine has SIMD; `'none'`: composed kernels only. */
  simd?: 'auto' | 'none';
}

/**
 * Registers for the wasm backend: faster matrix products, the gradients of Embedding and
 * convolution that it lacks, a gradient of max pooling that is right where all inputs are negative,
 * and an Identity that does not copy.
 *
 * At once there are kernels composed of the backend's own. A module in SIMD WebAssembly, about
 * twice as fast, takes their place when the promise resolves. (It stays with the composed ones where
 * the engine has no SIMD, and for matrix products where the backend runs several threads.)
 *
 * Call it once after `import '@tensorflow/tfjs-backend-wasm'`, before or after
 * `tf.setBackend('wasm')`; further calls change nothing, and return the same promise. Other backends are not touched.
 *
 * @returns a promise to wait for, if the module is to run from the start.
 * @throws if the wasm backend is not registered, or an option is not valid.
 */
export function installKernels(options: InstallKernelsOptions = {}): Promise<void> {
  if (installation) return installation.ready;
  const {simd = 'auto'} = options;
  checkKnown('installKernels', options, ['simd']);
  checkChoice('installKernels', 'simd', simd, ['auto', 'none']);
  if (!tf.findBackendFactory('wasm')) {
    throw new Error(
      'installKernels: the wasm backend is not registered; ' +
        "import '@tensorflow/tfjs-backend-wasm' first",
    );
  }
  const replaced: Installation['replaced'] = new Map();
  for (const [name, create] of KERNELS) {
    const stock = tf.getKernel(name, 'wasm') as tf.KernelConfig | undefined;
    replaced.set(name, stock);
    const kernelFunc = create(stock?.kernelFunc as never) as tf.KernelFunc;
    replaceKernel('wasm', name, {
      ...stock,
      kernelName: name,
      backendName: 'wasm',
      kernelFunc,
      setupFunc: setUp(stock),
    });
  }
  switchModule(simd === 'auto');
  installation = {replaced, ready: simd === 'auto' ? useModule() : Promise.resolve()};
  return installation.ready;
}

/**
 * What the backend calls at its start: the set-up of the stock kernel, as ours may call it, and the
 * module's.
 */
function setUp(stock: tf.KernelConfig | undefined): tf.KernelSetupFunc {
  return (backend) => {
    stock?.setupFunc?.(backend);
    if (attachNow(backend)) registerFusedKernels(backend);
    else void attach(backend).then(() => registerFusedKernels(backend));
  };
}

async function useModule(): Promise<void> {
  await compileModule();
  const backend = tf.engine().registry['wasm'];
  if (!backend) return;
  await attach(backend);
  registerFusedKernels(backend);
}

/** Registers them while the kernels are installed, if `backend` has the module. */
function registerFusedKernels(backend: object): void {
  if (!installation || !simdModule(backend)) return;
  for (const [name, run] of FUSED_KERNELS) {
    if (tf.getKernel(name, 'wasm')) continue;
    // Each says what its inputs and attributes are; the registry does not ask.
    const kernelFunc = preferModule(run as never, () => {
      throw new Error(`${name}: this backend was made without the SIMD module`);
    }) as unknown as tf.KernelFunc;
    replaceKernel('wasm', name, {kernelName: name, backendName: 'wasm', kernelFunc});
  }
}

/**
 * Registers the stock kernels again, as they were before `installKernels`; does nothing if those
 * are in place.
 */
export function uninstallKernels(): void {
  if (!installation) return;
  installation.replaced.forEach((stock, name) => replaceKernel('wasm', name, stock));
  for (const [name] of FUSED_KERNELS) replaceKernel('wasm', name, undefined);
  installation = undefined;
}
