/** The options of all commands that read examples as `textDataset` does, and of those that score blocks by them. */
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {checkFields, type FieldNames} from '../llama/text/formats';
import {outlierDefaults} from '../owlore/scores/outlier';
import {flag, group, number, numberOr, type OptionDescription} from './options';

const {maxLength, batchSize} = textDatasetDefaults;

const fields: OptionDescription<FieldNames | undefined> = {
  help: 'where an example has what, if not under the usual names: prompt=frage,answer=antwort, or text=…, or messages=…, and system=…',
  placeholder: '<names>',
  default: undefined,
  parse(text) {
    const pairs = text.split(',').map((pair) => /^([^=]+)=(.*)$/.exec(pair));
    return pairs.every((pair) => pair !== null)
      ? Object.fromEntries(pairs.map(([, role, name]) => [role!.trim(), name!.trim()]))
      : text;
  },
  check: checkFields,
};

export const dataOptions = group('Data', {
  fields,
  maxLength: number(
    `the most tokens in a row (default: ${maxLength}, or fewer if the model takes fewer)`,
    {
      integer: true,
      min: 1,
    },
  ),
  batchSize: number('rows that go through the model together', {
    integer: true,
    min: 1,
    default: batchSize,
  }),
  packing: flag('fill each row with several examples, one after another'),
});

/** Of outlier scores. */
export const tau = numberOr('auto', 'an outlier is a value above tau times the mean of its block', {
  exclusiveMin: 0,
  default: outlierDefaults.tau,
});
