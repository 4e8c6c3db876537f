import {selects} from '../model/variable_selector';
import {bindingOptions, cut, mapOptions} from '../common/options';
import {owloreOptions} from '../owlore/optimizer/options';
import {withoutNumber} from '../tfjs/variable_names';
import {withoutLayerNumbers} from '../common/say_once';
import {FUNCTION, type Manifest} from './manifest';
import type {CheckpointParts, LayerWeights} from './parts';

/** Where a checkpoint is, and what it says of itself. */
export interface Candidate {
  path: string;
  manifest: Manifest;
}

/** Throws unless a checkpoint is of a training with such a model, optimizer, callback and data. `owner` begins the messages. */
export function checkFits(
  owner: string,
  {path, manifest}: Candidate,
  {optimizer, callback, data}: CheckpointParts,
  layers: readonly LayerWeights[],
): void {
  const fail = (what: string): never => {
    throw new Error(`${owner}: ${path} ${what}; nothing was changed`);
  };
  const length = Math.max(manifest.model.length, layers.length);
  for (let i = 0; i < length; i++) {
    const [saved, own] = [manifest.model[i], layers[i]];
    const was: Names | null = saved ? [saved.layer, saved.weights] : null;
    const is: Names | null = own ? [own.layer, own.variables.map(({name}) => name)] : null;
    if (was && is && keyOf(was) === keyOf(is)) continue;
    const [before, now] = [was, is].map((each) => (each ? described(each) : 'no further layer'));
    fail(`is of another model: it has ${before}, where this model has ${now}`);
  }
  const saved = withNamesOf(layers, manifest);
  const differ = (part: string, saved: object, own: object): void => {
    const difference = firstDifference(saved, own);
    if (!difference) return;
    const wayOut = difference.startsWith('scores')
      ? 'save the scores of a run with it, since those of other weights are others'
      : 'use the options of then';
    fail(`was saved with another ${part}: ${difference}; ${wayOut}`);
  };
  const rates = [saved, optimizer.settings].map((each) => each.learningRate);
  const isFunction = rates.map((rate) => rate === FUNCTION);
  if (isFunction[0] && !isFunction[1]) {
    fail('was saved with a learningRate that is a function, which is not in it; give it again');
  }
  differ(
    'optimizer',
    bindingOptions(owloreOptions, saved),
    bindingOptions(owloreOptions, optimizer.settings),
  );
  for (const [name, saved, own] of [
    ['callback', manifest.callback, callback],
    ['data', manifest.data, data],
  ] as const) {
    const isSaved = saved !== null;
    if (isSaved && !own) fail(`was saved with ${name}, which is missing here; pass it, too`);
    if (!isSaved && own) fail(`was saved without ${name}; leave it out, or start anew`);
  }
  if (callback) differ('callback', manifest.callback!.settings, callback.settings);
}

/** The name of a layer, and those of its weights. */
type Names = [layer: string, weights: readonly string[]];

/** These names without the numbers that tfjs gives. */
function keyOf([layer, weights]: Names): string {
  return withoutLayerNumbers(JSON.stringify([layer, ...weights.map(withoutNumber)]));
}

function described([layer, weights]: Names): string {
  return `layer '${cut(layer)}' with ${weights.length} weights: ${cut(weights.join(', '))}`;
}

/** The options of a checkpoint's optimizer, with the names that this model has where they pick variables or layers by name. */
function withNamesOf(
  layers: readonly LayerWeights[],
  {model, optimizer: {settings}}: Manifest,
): Record<string, unknown> {
  const names = layers.flatMap(({variables}, i) =>
    variables.map(({name}, j) => ({was: model[i]!.weights[j]!, is: name})),
  );
  const ownName = (entry: string): string => {
    const found = names.find(({was}) => selects([entry], {name: was, shape: []}));
    return found?.is.split('/').slice(0, entry.split('/').length).join('/') ?? entry;
  };
  return mapOptions(owloreOptions, settings, ({withNames}, _, value) =>
    withNames ? withNames(value, ownName) : value,
  );
}

/** The first option that differs, with both values; null if none does. */
function firstDifference(saved: object, own: object): string | null {
  const [before, now] = [saved, own].map((each) => new Map(Object.entries(each)));
  for (const name of new Set([...before!.keys(), ...now!.keys()])) {
    const [was, is] = [before!.get(name), now!.get(name)].map((value) => JSON.stringify(value));
    if (was !== is) return `${cut(name)} was ${shown(was)} and is ${shown(is)}`;
  }
  return null;
}

function shown(text = 'not given'): string {
  return cut(text, 200);
}
