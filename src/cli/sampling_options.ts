/** The options of the commands that write texts. */
import {definedIn, seedRange} from '../common/options';
import type {GenerationConfig} from '../llama/files/generation_config';
import {
  samplingOptions as library,
  generateDefaults,
  samplingNames,
} from '../llama/generation/generate_options';
import type {SamplingOptions} from '../llama/generation/token_probabilities';
import {pick} from '../llama/pick';
import type {Context} from './command';
import {flagOf, libraryOption, number, refuseMeaningless, texts, type SettingsOf} from './options';

/** What stands for an option that is not given is known when the model is. */
const own = {default: undefined};
const byDefault = (otherwise: number | string): string =>
  `default: the model's own, or ${otherwise}`;

/** How the tokens of a text are chosen, and what ends it. */
export const samplingOptions = {
  temperature: libraryOption(
    `0: always the most probable token; above, tokens are drawn (${byDefault(0)})`,
    library.temperature,
    own,
  ),
  topK: libraryOption(
    `draw from only this many tokens, the most probable ones (${byDefault('all')})`,
    library.topK,
    own,
  ),
  topP: libraryOption(
    `draw from the fewest most probable tokens that together have this probability (${byDefault(1)})`,
    library.topP,
    own,
  ),
  minP: libraryOption(
    `draw only tokens that have at least this part of the largest probability (${byDefault(0)})`,
    library.minP,
    own,
  ),
  repetitionPenalty: libraryOption(
    `above 1, tokens that are in the text already become less probable (${byDefault(1)})`,
    library.repetitionPenalty,
    own,
  ),
  seed: number('seed of the draws (default: another one each time)', seedRange),
  stop: texts('stop before this text; may be given several times', '<text>'),
};

/** The options that change nothing where no token is drawn, each with the reason. */
export function unusedSampling({
  temperature,
}: {
  temperature: number | undefined;
}): Record<string, string> {
  const reason = '--temperature 0';
  return temperature === 0 ? {topK: reason, topP: reason, minP: reason, seed: reason} : {};
}

/**
 * How tokens are chosen: as the options say that were given, or else the model's own `generation_config.json`, which a line tells, or else
 * as by default.
 *
 * @throws UsageError if an option was given that has no meaning then.
 */
export function chosenSampling(
  settings: SettingsOf<typeof samplingOptions>,
  ofModel: GenerationConfig,
  {given, console}: Pick<Context, 'given' | 'console'>,
): SamplingOptions {
  const defaults: SamplingOptions = pick(generateDefaults, samplingNames);
  const wanted = definedIn(pick(settings, samplingNames)) as Partial<SamplingOptions>;
  const chosen = pick({...defaults, ...ofModel, ...wanted}, samplingNames) as SamplingOptions;
  const unused = unusedSampling(chosen);
  refuseMeaningless(given, unused);
  const told = samplingNames.filter(
    (name) => !(name in wanted) && !(name in unused) && chosen[name] !== defaults[name],
  );
  const flags = told.map((name) => `${flagOf(name)} ${chosen[name]}`).join(' ');
  if (flags !== '') console.note(`by the model's own generation_config.json: ${flags}`);
  return chosen;
}

/** `42 tokens in 6.1 s (6.89 a second)`. */
export function describeSpeed(tokens: string, count: number, seconds: number): string {
  return `${tokens} in ${seconds.toFixed(1)} s (${(count / seconds).toPrecision(3)} a second)`;
}
