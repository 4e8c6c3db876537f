import type {OwLoreBlockAttrs, OwLoreBlockGradAttrs} from '../llama/kernel_names';
import {runOps, type NativeInputs, type NativeKernel} from './kernel';
import type {Native} from './native_ops';
import {
  attentionSublayer,
  attentionSublayerGrad,
  mlpSublayer,
  mlpSublayerGrad,
  queriesKeysValues,
} from './sublayers';

/*
 * Both halves of a block as one kernel, because TensorFlow's threads sleep when a graph ends and take a while to wake up for the
 * next one.
 */

/** OwLoreBlock. */
export const block: NativeKernel<OwLoreBlockAttrs> = (ops, inputs, attrs) => {
  if (inputs['attended']) {
    const ofAttention = queriesKeysValues(ops, inputs, attrs);
    const ofMlp = runOps(mlpSublayer, ops, ofSecondHalf(inputs, inputs['attended']), attrs);
    return [...ofMlp, ...ofAttention];
  }
  const [attended, ...ofAttention] = runOps(attentionSublayer, ops, inputs, attrs);
  const [value, ...ofMlp] = runOps(mlpSublayer, ops, ofSecondHalf(inputs, attended!), attrs);
  return [value!, attended!, ...ofMlp, ...ofAttention];
};

/** OwLoreBlockGrad. */
export const blockGrad: NativeKernel<OwLoreBlockGradAttrs> = (ops, inputs, attrs) => {
  const ofMlp = ofSecondHalf(inputs, inputs['attended']!);
  const [dAttended, ...dMlpWeights] = runOps(mlpSublayerGrad, ops, ofMlp, attrs);
  const ofAttention = {...inputs, dy: dAttended!};
  return [...runOps(attentionSublayerGrad, ops, ofAttention, attrs), ...dMlpWeights];
};

function ofSecondHalf(inputs: NativeInputs, attended: Native): NativeInputs {
  return {...inputs, x: attended, norm: inputs['mlpNorm']!, scale: inputs['mlpScale']!};
}
