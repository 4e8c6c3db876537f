import {
  OwLoreAttention,
  OwLoreAttentionGrad,
  OwLoreRMSNorm,
  OwLoreRMSNormGrad,
  OwLoreSwiGLU,
  OwLoreSwiGLUGrad,
} from '../llama_kernel_names';
import type {KernelMaker} from '../replacement';
import {attention, attentionGrad} from './attention';
import type {KernelGraphs} from './graphs';
import {rmsNorm, rmsNormGrad} from './rms_norm';
import {swiglu, swigluGrad} from './swiglu';

/** The kernels of LLaMA-style models. */
export function llamaKernels(graphs: KernelGraphs): Record<string, KernelMaker> {
  return {
    [OwLoreRMSNorm]: () => graphs.kernelFunc(rmsNorm),
    [OwLoreRMSNormGrad]: () => graphs.kernelFunc(rmsNormGrad),
    [OwLoreAttention]: () => graphs.kernelFunc(attention),
    [OwLoreAttentionGrad]: () => graphs.kernelFunc(attentionGrad),
    [OwLoreSwiGLU]: () => graphs.kernelFunc(swiglu),
    [OwLoreSwiGLUGrad]: () => graphs.kernelFunc(swigluGrad),
  };
}
