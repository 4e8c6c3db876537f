/** A LLaMA-style model of shapes alone, with what a training of it reads. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {buildLlama} from '../../llama/model';
import type {ResolvedConfig} from '../../llama/config';
import {weightShapes} from '../../llama/files/weight_shapes';
import {sparseCrossEntropy} from '../../llama/loss';
import {placeholder} from '../../model/packed_matrix';
import {keepPacked} from '../../model/packed_weight';
import {trainEmbedding} from './embedding_mode';
import type {ResolvedEstimateOptions} from './options';
import type {Trained} from './training_memory';

/** Call it where the current backend knows shapes alone. */
export function llamaTraining(config: ResolvedConfig, options: ResolvedEstimateOptions): Trained {
  const {method, embedding, batchSize, maxLength, countedLabels} = options;
  const model = modelOfShapes(config, options.frozenDtype === 'BF16');
  return {
    model,
    loss: sparseCrossEntropy,
    optimizer: trainEmbedding(embedding, model, method),
    batch() {
      const positions = batchSize * maxLength;
      const labels = new Int32Array(positions);
      labels.fill(-100, Math.ceil(countedLabels * positions));
      return [
        tf.tensor(new Int32Array(positions), [batchSize, maxLength], 'int32'),
        tf.tensor(labels, [batchSize, maxLength, 1], 'int32'),
      ];
    },
  };
}

/** How many models were made. Of the process, as what tfjs-layers remembers is. */
let made = 0;

/** @param isPacked Whether matrices are kept as bfloat16. */
function modelOfShapes(config: ResolvedConfig, isPacked: boolean): tfl.LayersModel {
  const shapes = new Map<string, number[]>();
  for (const {name, shape, transposed} of weightShapes(config))
    shapes.set(name, transposed ? [...shape].reverse() : shape);
  const packs = (name: string): boolean => isPacked && shapes.get(name)!.length === 2;
  const model = buildLlama(
    config,
    (name) => (packs(name) ? placeholder(shapes.get(name)!) : tf.fill(shapes.get(name)!, 0)),
    (name, weight) => {
      if (!packs(name)) return;
      const words = Math.ceil(tf.util.sizeFromShape(shapes.get(name)!) / 2);
      keepPacked(weight, tf.keep(tf.fill([words], 0, 'int32')));
    },
  );
  // tfjs-layers remembers the order of a model's layers by the names of its ends
  made++;
  for (const end of [...model.inputs, ...model.outputs])
    Object.assign(end, {name: `${end.name} of estimate ${made}`});
  return model;
}
