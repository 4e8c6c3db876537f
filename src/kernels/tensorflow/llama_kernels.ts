import {
  OwLoreAttention,
  OwLoreAttentionGrad,
  OwLoreAttentionSublayer,
  OwLoreAttentionSublayerGrad,
  OwLoreBlock,
  OwLoreBlockGrad,
  OwLoreCrossEntropy,
  OwLoreCrossEntropyGrad,
  OwLoreDecodeBlock,
  OwLoreDecodeBlocks,
  OwLoreMlpSublayer,
  OwLoreMlpSublayerGrad,
  OwLoreRMSNorm,
  OwLoreRMSNormGrad,
  OwLoreSwiGLU,
  OwLoreSwiGLUGrad,
} from '../llama/kernel_names';
import type {KernelMaker} from '../replacement';
import {attention, attentionGrad} from './attention';
import {block, blockGrad} from './block';
import {crossEntropy, crossEntropyGrad} from './cross_entropy';
import {
  DECODE_BLOCKS_FREE_AXES,
  DECODE_FREE_AXES,
  decodeBlock,
  decodeBlocks,
  oneByOne,
} from './decode_block';
import type {KernelGraphs} from './graphs';
import {rmsNorm, rmsNormGrad} from './rms_norm';
import {attentionSublayer, attentionSublayerGrad, mlpSublayer, mlpSublayerGrad} from './sublayers';
import {swiglu, swigluGrad} from './swiglu';

/** The kernels of LLaMA-style models. */
export function llamaKernels(graphs: KernelGraphs): Record<string, KernelMaker> {
  return {
    [OwLoreRMSNorm]: () => graphs.kernelFunc(OwLoreRMSNorm, rmsNorm),
    [OwLoreRMSNormGrad]: () => graphs.kernelFunc(OwLoreRMSNormGrad, rmsNormGrad),
    [OwLoreAttention]: () => graphs.kernelFunc(OwLoreAttention, attention),
    [OwLoreAttentionGrad]: () => graphs.kernelFunc(OwLoreAttentionGrad, attentionGrad),
    [OwLoreAttentionSublayer]: () => graphs.kernelFunc(OwLoreAttentionSublayer, attentionSublayer),
    [OwLoreAttentionSublayerGrad]: () =>
      graphs.kernelFunc(OwLoreAttentionSublayerGrad, attentionSublayerGrad),
    [OwLoreMlpSublayer]: () => graphs.kernelFunc(OwLoreMlpSublayer, mlpSublayer),
    [OwLoreMlpSublayerGrad]: () => graphs.kernelFunc(OwLoreMlpSublayerGrad, mlpSublayerGrad),
    [OwLoreBlock]: () => graphs.kernelFunc(OwLoreBlock, block),
    [OwLoreBlockGrad]: () => graphs.kernelFunc(OwLoreBlockGrad, blockGrad),
    [OwLoreDecodeBlock]: () => graphs.kernelFunc(OwLoreDecodeBlock, decodeBlock, DECODE_FREE_AXES),
    [OwLoreDecodeBlocks]: () => {
      // until their graph is there, which takes longer to make than that of one
      const one = graphs.runner(OwLoreDecodeBlock, decodeBlock, DECODE_FREE_AXES);
      const axes = DECODE_BLOCKS_FREE_AXES;
      return graphs.kernelFunc(OwLoreDecodeBlocks, decodeBlocks, axes, oneByOne(one));
    },
    [OwLoreCrossEntropy]: () => graphs.kernelFunc(OwLoreCrossEntropy, crossEntropy),
    [OwLoreCrossEntropyGrad]: () => graphs.kernelFunc(OwLoreCrossEntropyGrad, crossEntropyGrad),
    [OwLoreSwiGLU]: () => graphs.kernelFunc(OwLoreSwiGLU, swiglu),
    [OwLoreSwiGLUGrad]: () => graphs.kernelFunc(OwLoreSwiGLUGrad, swigluGrad),
  };
}
