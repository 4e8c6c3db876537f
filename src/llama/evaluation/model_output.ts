import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {deferredHead} from '../deferred_head';
import {LlamaEmbedding} from '../embedding';
import {LlamaHead} from '../head';
import {headLogits} from '../head_pieces';

/**
 * What a model gives to `sparseCrossEntropy`: its logits or, of a model of `createLlama`, the hidden states before its head, which the
 * loss then applies, so that only some of the logits exist at a time. It belongs to the surrounding `tf.tidy`.
 */
export function outputForLoss(model: tfl.LayersModel, ids: tf.Tensor): tf.Tensor {
  const layers = layersInOrder(model);
  if (!layers) return model.predictOnBatch(ids) as tf.Tensor;
  return tf.tidy(() => {
    let x = ids;
    for (const layer of layers) {
      const before = x;
      const kwargs = layer === layers.at(-1) ? {deferHead: true} : {};
      x = tf.tidy(() => layer.apply(before, kwargs) as tf.Tensor);
      if (before !== ids) before.dispose();
    }
    return x;
  });
}

/** Logits `[count, vocab]` at some positions, counted through all rows of `ids` `[rows, length]`. */
export function logitsAt(
  model: tfl.LayersModel,
  ids: tf.Tensor,
  positions: readonly number[],
): tf.Tensor2D {
  return tf.tidy(() => {
    const output = outputForLoss(model, ids);
    const rows = tf.reshape(output, [-1, output.shape.at(-1)!]);
    const chosen = tf.gather(rows, tf.tensor1d([...positions], 'int32'));
    const head = deferredHead(output);
    if (!head) return chosen as tf.Tensor2D;
    return tf.squeeze(headLogits(tf.expandDims(chosen, 0), head), [0]);
  });
}

/**
 * The layers of a model of `createLlama` as they are applied, the last being the head; null of a model that is not such a chain, or
 * ends elsewhere.
 */
function layersInOrder(model: tfl.LayersModel): tfl.layers.Layer[] | null {
  const head = model.outputs[0]!.sourceLayer;
  if (!(head instanceof LlamaHead || head instanceof LlamaEmbedding)) return null;
  const [input, ...layers] = model.layers;
  if (head instanceof LlamaEmbedding) layers.push(head);
  const follows = (layer: tfl.layers.Layer, i: number): boolean => {
    const before = i === 0 ? input : layers[i - 1];
    return layer.inboundNodes.some(
      ({inboundLayers}) => inboundLayers.length === 1 && inboundLayers[0] === before,
    );
  };
  const isChain = model.outputs.length === 1 && layers.at(-1) === head && layers.every(follows);
  return isChain ? layers : null;
}
