import * as tf from '@tensorflow/tfjs-core';
import {checkChoice, checkKnown} from '../../common/options';
import {replaceKernel} from '../../tfjs/kernels';
import {guarded} from '../contracts';
import {warnOfFailure} from '../failed_install';
import * as fused from '../llama/kernel_names';
import {
  OwLoreAccumulate,
  OwLoreAdam,
  OwLoreAddRows,
  OwLoreCountAbove,
  OwLoreMagnitudeSums,
  OwLoreSquaredNorm,
  OwLoreUnpackBfloat16,
} from '../kernel_names';
import {replaceKernels, type KernelMaker} from '../replacement';
import {accumulate} from './accumulate';
import {createAdd} from './add';
import {addRows} from './add_rows';
import {createBatchMatMul} from './batch_mat_mul';
import {createConcat} from './concat';
import {conv2DBackpropFilter} from './conv2d_backprop_filter';
import {
  depthwiseConv2dNativeBackpropFilter,
  depthwiseConv2dNativeBackpropInput,
} from './depthwise_conv2d_grads';
import {freeingOnError, freeOnErrors, goOnWhenFull, throwWhenFull} from './full_memory';
import {createFusedMatMul} from './fused_mat_mul';
import {createGather} from './gather';
import {createCast, createIdentity} from './identity';
import {preferModule} from './kernel';
import {maxPoolGrad} from './max_pool_grad';
import {simdAdam} from './simd_adam';
import {simdFusedMatMul} from './simd_fused_mat_mul';
import {isForModule, simdBatchMatMul} from './simd_mat_mul';
import {simdAttention, simdAttentionGrad} from './simd_attention';
import {simdDecodeBlock, simdDecodeBlocks} from './simd_decode_block';
import {simdCrossEntropy, simdCrossEntropyGrad} from './simd_cross_entropy';
import {simdCountAbove, simdMagnitudeSums} from './simd_magnitudes';
import {simdPackedMatMul} from './simd_packed_mat_mul';
import {attach, simdModule, switchModule, type SimdModule} from './simd_module';
import {simdRMSNorm, simdRMSNormGrad} from './simd_rms_norm';
import {simdSwiGLU, simdSwiGLUGrad} from './simd_swiglu';
import {simdUnpackBfloat16, simdUnpackRows, simdUnpackWindow} from './simd_unpack_bfloat16';
import {createSlice} from './slice';
import {createSplit, createUnpack} from './split';
import {squaredNorm} from './squared_norm';
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
  [tf.Add, createAdd],
  [tf.Concat, createConcat],
  [tf.GatherV2, createGather],
  [tf.Slice, createSlice],
  [tf.SplitV, createSplit],
  [tf.Unpack, createUnpack],
  [tf.Identity, createIdentity],
  [tf.Cast, createCast],
  [tf.Conv2DBackpropFilter, () => conv2DBackpropFilter],
  [tf.DepthwiseConv2dNativeBackpropFilter, () => depthwiseConv2dNativeBackpropFilter],
  [tf.DepthwiseConv2dNativeBackpropInput, () => depthwiseConv2dNativeBackpropInput],
  [tf.MaxPoolGrad, () => maxPoolGrad],
];

/** Kernels that tfjs does not have; the backend has them only with the module. */
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
  [fused.OwLoreDecodeBlock, simdDecodeBlock],
  [fused.OwLoreDecodeBlocks, simdDecodeBlocks],
  [fused.OwLorePackedMatMul, simdPackedMatMul],
  [OwLoreAdam, simdAdam],
  [OwLoreAccumulate, accumulate],
  [OwLoreAddRows, addRows],
  [OwLoreSquaredNorm, squaredNorm],
  [OwLoreMagnitudeSums, simdMagnitudeSums],
  [OwLoreCountAbove, simdCountAbove],
  [OwLoreUnpackBfloat16, simdUnpackBfloat16],
  [fused.OwLoreUnpackWindow, simdUnpackWindow],
  [fused.OwLoreUnpackRows, simdUnpackRows],
];

interface Installation {
  /** Registers the kernels that were replaced again. */
  restore: () => void;
  /** By backend: resolves when the backend has the module, or will do without it. */
  ready: WeakMap<object, Promise<void>>;
}

/** Kernels are registered for the whole process. */
let installation: Installation | undefined;

/** Options of {@link installKernels}. */
export interface InstallKernelsOptions {
  /** `'auto'`: the SIMD module where the engine has SIMD; `'none'`: composed kernels only. Default `'auto'`. */
  simd?: 'auto' | 'none';
}

/**
 * Registers for the wasm backend: faster matrix products, the gradients of Embedding and
 * convolution that it lacks, a gradient of max pooling that is right where all inputs are negative,
 * and an Identity that does not copy. From then on the backend throws where its memory is full; tfjs's goes on at address 0, over
 * the values of other tensors.
 *
 * They run from the next op on, most of them in a module of SIMD WebAssembly. In a browser whose main thread must not wait for
 * WebAssembly, kernels composed of the backend's own run until the promise resolves; they are half as fast. The composed kernels
 * stay where the engine has no SIMD, and for matrix products where the backend runs several threads.
 *
 * Call it once after `import '@tensorflow/tfjs-backend-wasm'`, before or after `tf.setBackend('wasm')`; further calls change
 * nothing. A backend that is made later has the kernels, too. Other backends are not touched.
 *
 * @returns a promise that resolves when the module runs on the existing backend, if any. It rejects if the memory is full: then
 *   the composed kernels stay.
 * @throws if the wasm backend is not registered, or an option is not valid.
 */
export function installKernels(options: InstallKernelsOptions = {}): Promise<void> {
  if (installation) return moduleReady(installation);
  const {simd = 'auto'} = options;
  checkKnown('installKernels', options, ['simd']);
  checkChoice('installKernels', 'simd', simd, ['auto', 'none']);
  if (!tf.findBackendFactory('wasm')) {
    throw new Error(
      'installKernels: the wasm backend is not registered; ' +
        "import '@tensorflow/tfjs-backend-wasm' first",
    );
  }
  const makers = KERNELS.map(([name, create]): [string, KernelMaker] => [
    name,
    (stock) => create(stock?.kernelFunc as never) as tf.KernelFunc,
  ]);
  const putBack = replaceKernels('wasm', Object.fromEntries(makers), setUp);
  const unguard = freeOnErrors();
  const restore = (): void => {
    unguard();
    putBack();
  };
  switchModule(simd === 'auto');
  installation = {restore, ready: new WeakMap()};
  return moduleReady(installation);
}

/**
 * What tfjs calls for each kernel when a backend becomes the current one: the set-up of the stock kernel, which our kernel may
 * call, and the set-up of the module.
 */
function setUp(stock: tf.KernelConfig | undefined): tf.KernelSetupFunc {
  return (backend) => {
    stock?.setupFunc?.(backend);
    if (!installation) return;
    moduleReady(installation, backend).catch((error: unknown) => warnOfFailure('wasm', error));
  };
}

function moduleReady({ready}: Installation, backend = existingBackend()): Promise<void> {
  if (!backend) return Promise.resolve();
  throwWhenFull(backend);
  const started = ready.get(backend) ?? useModule(backend);
  ready.set(backend, started);
  return started;
}

function existingBackend(): object | undefined {
  return tf.engine().registry['wasm'];
}

/** Gives the backend the module: before this returns, if the engine can compile it at once. */
async function useModule(backend: object): Promise<void> {
  let later: Promise<void> | undefined;
  try {
    later = attach(backend);
  } finally {
    registerFusedKernels(backend);
  }
  if (!later) return;
  await later;
  registerFusedKernels(backend);
}

/** Registers the fused kernels if the kernels are installed and `backend` has the module; otherwise removes them. */
function registerFusedKernels(backend: object): void {
  const isThere = installation !== undefined && simdModule(backend) !== undefined;
  for (const [name, run] of FUSED_KERNELS) {
    // Each kernel has its own types of inputs and attributes; the registry has none.
    const kernelFunc = preferModule(run as never, () => {
      throw new Error(`${name}: this backend was made without the SIMD module`);
    }) as unknown as tf.KernelFunc;
    const checked = guarded(name, 'wasm', freeingOnError(kernelFunc));
    const config = {kernelName: name, backendName: 'wasm', kernelFunc: checked};
    replaceKernel('wasm', name, isThere ? config : undefined);
  }
}

/**
 * Registers the stock kernels again, as they were before `installKernels`; does nothing if those
 * are in place.
 */
export function uninstallKernels(): void {
  if (!installation) return;
  installation.restore();
  const backend = existingBackend();
  if (backend) goOnWhenFull(backend);
  for (const [name] of FUSED_KERNELS) replaceKernel('wasm', name, undefined);
  installation = undefined;
}
