import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {ResolvedConfig} from '../config';
import {configOfModel} from './model_config';
import {checkArgument, display} from '../../common/options';
import type {HostTensor} from '../../files/safetensors';
import {show} from '../../files/json';
import {weightShapes, type WeightShape} from './weight_shapes';

/** A weight of a model, with Hugging Face's name for it and how it is stored. */
export interface NamedWeight {
  name: string;
  variable: tfl.LayerVariable;
  /** Whether it is stored transposed. */
  transposed: boolean;
}

/**
 * Sets all weights of a model of `createLlama` from tensors as Hugging Face names and stores
 * them: kernels `[out, in]`.
 *
 * @throws if the model is not one of `createLlama`, or if a weight is missing, unknown, of another shape, or has more or fewer
 *   values than its shape says; then no weight has been set.
 */
export function setLlamaWeights(
  model: tfl.LayersModel,
  tensors: ReadonlyMap<string, HostTensor>,
): void {
  const weights = namedWeights(model, configOfModel('setLlamaWeights', model));
  checkTensors(tensors);
  checkNames(weights, tensors);
  for (const weight of weights) checkShape(weight, tensors.get(weight.name)!);
  for (const {name, variable, transposed} of weights) {
    const {shape, values} = tensors.get(name)!;
    tf.tidy(() => {
      // on cpu a tensor works in the array that it is made of
      const value = tf.tensor(Float32Array.from(values), shape);
      variable.write(transposed ? tf.transpose(value) : value);
    });
  }
}

/**
 * All weights of a model of `createLlama` as Hugging Face names and stores them: kernels `[out, in]`.
 *
 * @throws if the model is not one of `createLlama`.
 */
export async function getLlamaWeights(model: tfl.LayersModel): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  const config = configOfModel('getLlamaWeights', model);
  for (const {name, variable, transposed} of namedWeights(model, config)) {
    const value = tf.tidy(() => {
      const stored = variable.read();
      return transposed ? tf.transpose(stored) : tf.clone(stored);
    });
    // on cpu they are the model's own
    tensors.set(name, {shape: value.shape, values: Float32Array.from(await value.data())});
    value.dispose();
  }
  return tensors;
}

/** All weights of a model, even those that its configuration does not have. */
export function namedWeights(model: tfl.LayersModel, config: ResolvedConfig): NamedWeight[] {
  const known = new Map([...weightShapes(config)].map((weight) => [weight.name, weight]));
  const variables = model.layers.flatMap((layer) => layer.weights);
  return variables.map((variable) => {
    // `model.layers.0/mlp.up_proj.weight`: the layer's name is a prefix of Hugging Face's
    const name = variable.originalName.replace('/', '.');
    return {name, variable, transposed: known.get(name)?.transposed ?? false};
  });
}

/** A weight of a model, and the shape in which it is stored. */
export type StoredWeight = WeightShape & NamedWeight;

/**
 * The weights that files of a model have, in the order in which PyTorch lists them.
 *
 * @throws if the model has others.
 */
export function storedWeights(
  owner: string,
  model: tfl.LayersModel,
  config: ResolvedConfig,
): StoredWeight[] {
  const weights = new Map(namedWeights(model, config).map((weight) => [weight.name, weight]));
  const shapes = [...weightShapes(config)];
  const stored = shapes.map((shape) => {
    const weight = weights.get(shape.name);
    if (!weight)
      throw new Error(`${owner}: the model lacks ${shape.name}; give all of it, not a part`);
    return {...shape, ...weight};
  });
  for (const name of weights.keys()) {
    if (shapes.some((shape) => shape.name === name)) continue;
    const way = name.includes('lora_') ? '; merge() the adapters first, or save them alone' : '';
    throw new Error(
      `${owner}: the model has a weight ${show(name)}, which checkpoints of its type have not${way}`,
    );
  }
  return stored;
}

function checkNames(
  weights: readonly NamedWeight[],
  tensors: ReadonlyMap<string, HostTensor>,
): void {
  const names = weights.map(({name}) => name);
  const missing = names.filter((name) => !tensors.has(name));
  if (missing.length > 0) throw new Error(`setLlamaWeights: missing ${missing.join(', ')}`);
  const unknown = [...tensors.keys()].filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    throw new Error(`setLlamaWeights: the model has no ${unknown.join(', ')}`);
  }
}

function checkShape({name, variable, transposed}: NamedWeight, {shape, values}: HostTensor): void {
  const stored = variable.shape as number[];
  const wanted = transposed ? [...stored].reverse() : stored;
  if (!tf.util.arraysEqual(wanted, shape)) {
    throw new Error(
      `setLlamaWeights: ${name} must have shape [${wanted.join(', ')}]; got [${shape.join(', ')}]`,
    );
  }
  const size = tf.util.sizeFromShape(wanted);
  if (values.length !== size) {
    throw new Error(
      `setLlamaWeights: ${name} of shape [${wanted.join(', ')}] must have ${size} values; got ${values.length}`,
    );
  }
}

/** Throws unless `tensors` is a map of tensors by name. */
function checkTensors(tensors: unknown): void {
  const owner = 'setLlamaWeights';
  checkArgument(owner, 'tensors', tensors, 'a Map of {shape, values}', tensors instanceof Map);
  for (const [name, tensor] of tensors as Map<unknown, Record<keyof HostTensor, unknown> | null>) {
    const {shape, values} = tensor ?? {};
    const isTensor =
      typeof name === 'string' &&
      Array.isArray(shape) &&
      (values instanceof Float32Array ||
        (Array.isArray(values) && values.every((value) => typeof value === 'number')));
    checkArgument(owner, `the tensor ${display(name)}`, tensor, '{shape, values}', isTensor);
  }
}
