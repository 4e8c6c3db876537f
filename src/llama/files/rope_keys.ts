import {checkNumber} from '../../common/options';
import type {ModelOptions, ResolvedModelOptions, RopeScaling} from '../architectures/model_options';
import type {ConfigKeys} from './config_keys';
import {isObject, show, type JsonObject} from '../../files/json';

/** How `config.json` describes the rotary embedding. */
export interface RopeKeys {
  read(keys: ConfigKeys, positions: number): RopeOptions;
  /** In the words of transformers 4 and of 5. */
  write(config: ResolvedModelOptions): JsonObject;
}

export type RopeOptions = Pick<ModelOptions, 'ropeTheta' | 'ropeScaling' | 'ropeLocalBaseFreq'>;

/** What one description of a rotary embedding says. */
interface Rope {
  ropeTheta: number;
  ropeScaling: RopeScaling | null;
}

/** One rotary embedding for all layers: `rope_parameters`, or `rope_theta` and `rope_scaling`, or both. */
export const oneRope: RopeKeys = {
  read(keys, positions) {
    const described = {
      rope_parameters: keys.given('rope_parameters'),
      rope_scaling: keys.given('rope_scaling'),
    };
    return readAgreeing(keys, described, positions);
  },

  write({ropeTheta, ropeScaling}) {
    return {
      rope_theta: ropeTheta,
      rope_scaling: scalingJson(ropeScaling),
      rope_parameters: ropeJson(ropeTheta, ropeScaling),
    };
  },
};

/** Reads the given descriptions of a rotary embedding, by their keys; they must agree. Without any, `rope_theta` alone counts. */
export function readAgreeing(keys: ConfigKeys, described: JsonObject, positions: number): Rope {
  const given = Object.entries(described).filter(([, rope]) => rope != null);
  const [first, second] = given.map(([key, rope]) => readRope(keys, key, rope, positions));
  if (second && JSON.stringify(first) !== JSON.stringify(second)) {
    const both = given.map(([key, rope]) => `${key} ${show(rope)}`).join(' and ');
    throw new Error(`${keys.owner}: ${both} disagree; remove the one that is wrong`);
  }
  return first ?? {ropeTheta: readTheta(keys, {}), ropeScaling: null};
}

/** An entry of `rope_parameters`. */
export function ropeJson(ropeTheta: number, ropeScaling: RopeScaling | null): JsonObject {
  return {rope_theta: ropeTheta, ...(scalingJson(ropeScaling) ?? {rope_type: 'default'})};
}

export function scalingJson(scaling: RopeScaling | null): JsonObject | null {
  return (
    scaling && {
      rope_type: 'llama3',
      factor: scaling.factor,
      low_freq_factor: scaling.lowFreqFactor,
      high_freq_factor: scaling.highFreqFactor,
      original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
    }
  );
}

const scalingKeys = [
  'factor',
  'low_freq_factor',
  'high_freq_factor',
  'original_max_position_embeddings',
] as const;

/**
 * A rotary embedding as `rope_parameters` or `rope_scaling` describes one.
 *
 * @param key The key of `rope` in `config.json`.
 * @param thetaKey The key of transformers 4 for the base.
 */
export function readRope(
  keys: ConfigKeys,
  key: string,
  rope: unknown,
  positions: number,
  thetaKey = 'rope_theta',
): Rope {
  const {owner} = keys;
  if (!isObject(rope)) throw new Error(`${owner}: ${key} must be an object; got ${show(rope)}`);
  const type = rope['rope_type'] ?? rope['type'] ?? 'default';
  if (type !== 'default' && type !== 'llama3') {
    throw keys.unsupported(`${key}.rope_type`, type, 'it must be "default" or "llama3"');
  }
  const known = ['rope_type', 'type', 'rope_theta', ...(type === 'llama3' ? scalingKeys : [])];
  for (const [name, value] of Object.entries(rope)) {
    if (known.includes(name) || value === null) continue;
    if (name === 'partial_rotary_factor' && value === 1) continue;
    const allowed = known.join(', ');
    throw keys.unsupported(`${key}.${name}`, value, `a "${type}" one has ${allowed}`);
  }
  const ropeTheta = readTheta(keys, rope, thetaKey);
  if (type === 'default') return {ropeTheta, ropeScaling: null};
  const {factor, low_freq_factor, high_freq_factor} = rope;
  const original =
    keys.given('original_max_position_embeddings') ??
    rope['original_max_position_embeddings'] ??
    positions;
  checkNumber(owner, `${key}.factor`, factor, {min: 1});
  checkNumber(owner, `${key}.low_freq_factor`, low_freq_factor, {exclusiveMin: 0});
  checkNumber(owner, `${key}.high_freq_factor`, high_freq_factor, {exclusiveMin: low_freq_factor});
  checkNumber(owner, `${key}.original_max_position_embeddings`, original, {integer: true, min: 1});
  const ropeScaling = {
    factor,
    lowFreqFactor: low_freq_factor,
    highFreqFactor: high_freq_factor,
    originalMaxPositionEmbeddings: original,
  };
  return {ropeTheta, ropeScaling};
}

function readTheta(keys: ConfigKeys, rope: JsonObject, key = 'rope_theta'): number {
  const theta = rope['rope_theta'] ?? keys.getNonNull(key);
  checkNumber(keys.owner, key, theta, {exclusiveMin: 0});
  const given = keys.given(key);
  if (given != null && given !== theta) {
    throw new Error(
      `${keys.owner}: ${key} ${show(given)} and ${theta} of rope_parameters disagree; ` +
        'remove the one that is wrong',
    );
  }
  return theta;
}
