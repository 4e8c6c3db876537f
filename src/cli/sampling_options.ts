/** The options of the commands that write texts. */
import {parseJsonObject} from '../files/json';
import {generateDefaults} from '../llama/generation/generate_options';
import {seedRange} from '../common/options';
import type {Loaded} from './model_options';
import {number, texts, type SettingsOf} from './options';

/** How the tokens of a text are chosen, and what ends it. */
export const samplingOptions = {
  temperature: number('0: always the most probable token; above, tokens are drawn', {
    min: 0,
    default: generateDefaults.temperature,
  }),
  topK: number('draw from only this many tokens, the most probable ones (default: all)', {
    integer: true,
    min: 1,
  }),
  topP: number('draw from the fewest most probable tokens that together have this probability', {
    exclusiveMin: 0,
    max: 1,
    default: generateDefaults.topP,
  }),
  seed: number('seed of the draws (default: another one each time)', seedRange),
  stop: texts('stop before this text; may be given several times', '<text>'),
};

/** The options that change nothing where no token is drawn, each with the reason. */
export function unusedSampling({
  temperature,
}: Pick<SettingsOf<typeof samplingOptions>, 'temperature'>): Record<string, string> {
  return temperature > 0
    ? {}
    : {topK: '--temperature 0', topP: '--temperature 0', seed: '--temperature 0'};
}

const GENERATION_CONFIG = 'generation_config.json';

/** The tokens after which a model has no more to say, as its files have it. */
export function endTokens({tokenizer, config, configJson, files}: Loaded): number[] {
  const generationConfig = files.get(GENERATION_CONFIG);
  const listed = [
    tokenizer.eosTokenId,
    configJson['eos_token_id'],
    generationConfig &&
      parseJsonObject(`generate: ${GENERATION_CONFIG}`, generationConfig)['eos_token_id'],
  ].flat();
  const ids = listed.filter((id): id is number => Number.isInteger(id));
  return [...new Set(ids)].filter((id) => id >= 0 && id < config.vocabSize);
}

/** `42 tokens in 6.1 s (6.89 a second)`. */
export function describeSpeed(tokens: string, count: number, seconds: number): string {
  return `${tokens} in ${seconds.toFixed(1)} s (${(count / seconds).toPrecision(3)} a second)`;
}
