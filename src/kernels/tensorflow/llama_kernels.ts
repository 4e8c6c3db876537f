import {
  OwLoreAttention,
  OwLoreAttentionGrad,
  OwLoreAttentionSublayer,
  OwLoreAttentionSublayerGrad,
  OwLoreBlock,
  OwLoreBlockGrad,
  OwLoreCrossEntropy,
  OwLoreCrossEntropyGrad,
  OwLoreMlpSublayer,
  OwLoreMlpSublayerGrad,
  OwLoreRMSNorm,
  OwLoreRMSNormGrad,
  OwLoreSwiGLU,
  OwLoreSwiGLUGrad,
} from '../llama_kernel_names';
import type {KernelMaker} from '../replacement';
import {attention, attentionGrad} from './attention';
import {block, blockGrad} from './block';
import {crossEntropy, crossEntropyGrad} from './cross_entropy';
import type {KernelGraphs} from './graphs';
import {rmsNorm, rmsNormGrad} from './rms_norm';
import {attentionSublayer, attentionSublayerGrad, mlpSublayer, mlpSublayerGrad} from './sublayers';
import {swiglu, swigluGrad} from './swiglu';

/** The kernels of LLaMA-style models. */
export function llamaKernels(graphs: KernelGraphs): Record<string, KernelMaker> {
  return {
    [OwLoreRMSNorm]: () => graphs.kernelFunc(rmsNorm),
    [OwLoreRMSNormGrad]: () => graphs.kernelFunc(rmsNormGrad),
    [OwLoreAttention]: () => graphs.kernelFunc(attention),
    [OwLoreAttentionGrad]: () => graphs.kernelFunc(attentionGrad),
    [OwLoreAttentionSublayer]: () => graphs.kernelFunc(attentionSublayer),
    [OwLoreAttentionSublayerGrad]: () => graphs.kernelFunc(attentionSublayerGrad),
    [OwLoreMlpSublayer]: () => graphs.kernelFunc(mlpSublayer),
    [OwLoreMlpSublayerGrad]: () => graphs.kernelFunc(mlpSublayerGrad),
    [OwLoreBlock]: () => graphs.kernelFunc(block),
    [OwLoreBlockGrad]: () => graphs.kernelFunc(blockGrad),
    [OwLoreCrossEntropy]: () => graphs.kernelFunc(crossEntropy),
    [OwLoreCrossEntropyGrad]: () => graphs.kernelFunc(crossEntropyGrad),
    [OwLoreSwiGLU]: () => graphs.kernelFunc(swiglu),
    [OwLoreSwiGLUGrad]: () => graphs.kernelFunc(swigluGrad),
  };
}
