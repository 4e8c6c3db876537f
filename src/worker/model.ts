/** The model of a training, and what trains it. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {parseHubName} from '../files/hub_name';
import type {JsonObject} from '../files/json';
import type {ModelSource} from '../files/source';
import type {ResolvedConfig} from '../llama/config';
import {readConfigJson} from '../llama/files/config_json';
import {readModelConfig} from '../llama/files/load_llama';
import {loadTokenizer, type LoadLlamaOptions, type Tokenizer} from '../llama/index';
import '../lora/index'; // which `paperMethod` has LoRA from
import {trainEmbedding} from '../memory/estimate/embedding_mode';
import {paperMethod, paperMethods, type MethodParts, type PaperMethod} from '../methods';
import {resolveBlocks} from '../model/blocks';
import {updateRules} from '../owlore/optimizer/rules';
import {rateOf} from '../training_defaults';
import type {Sampling} from './sampling';
import type {Settings} from './settings';

/** What is known of a model before its weights are. */
export interface OpenedModel {
  configJson: JsonObject;
  config: ResolvedConfig;
  tokenizer: Tokenizer;
}

/** What opens the files of a model that only a user with a token may read. */
export function requestOf({
  model,
  token,
}: Pick<Settings, 'model' | 'token'>): Pick<LoadLlamaOptions, 'request'> {
  const isOfHub = typeof model === 'string' && parseHubName(model) !== null;
  return token === undefined || !isOfHub
    ? {}
    : {request: {headers: {authorization: `Bearer ${token}`}}};
}

/** Reads what a model is, but none of its weights. */
export async function openModel(owner: string, settings: Settings): Promise<OpenedModel> {
  const source = settings.model as ModelSource;
  const {template} = settings.dataset;
  const request = requestOf(settings);
  const configJson = await readModelConfig(owner, source, request);
  const config = readConfigJson(`${owner}: config.json`, configJson);
  const tokenizer = await loadTokenizer(source, {
    ...request,
    ...(template !== undefined && {chatTemplate: template}),
  });
  return {configJson, config, tokenizer};
}

/** How the model's weights are kept, where a training can have some that do not train. */
export function frozenDtypeOf({
  method,
  frozenDtype,
}: Settings): Pick<LoadLlamaOptions, 'frozenDtype'> {
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  return sampling !== null || lora ? {frozenDtype} : {};
}

/** The optimizer of a training, with its callback or its adapters. */
export function methodOf(
  settings: Settings,
  model: tfl.LayersModel,
  {options}: Sampling,
  steps: number,
): PaperMethod {
  const {method, rank, refreshInterval, gradientCheckpointing} = settings;
  const {accumulate, seed, embedding} = settings;
  const {lora = false}: MethodParts = paperMethods[method];
  return paperMethod(method, model, {
    learningRate: rateOf(settings, steps),
    scale: updateRules.galore.publishedScale ?? 1,
    ...{rank, refreshInterval, gradientCheckpointing, accumulate},
    ...options,
    ...(lora && {seed}),
    ...trainEmbedding(embedding, model, method),
  });
}

/** The places of blocks, by their names. */
export function placesOf({blocks}: Sampling, names: readonly string[]): number[] {
  return blocks.flatMap(({name}, i) => (names.includes(name) ? [i] : []));
}

/** The places of the blocks that train now. */
export function trainingBlocks(model: tfl.LayersModel): number[] {
  const {registeredVariables} = tf.engine();
  return resolveBlocks(model).flatMap(({weights}, i) =>
    weights.some(({name}) => registeredVariables[name]?.trainable) ? [i] : [],
  );
}

/** Calls `body` while adapters, if there are any, are part of the model's weights. */
export async function merged<T>({lora}: PaperMethod, body: () => Promise<T>): Promise<T> {
  lora?.merge();
  try {
    return await body();
  } finally {
    lora?.unmerge();
  }
}
