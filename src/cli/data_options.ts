/** The options of all commands that read examples as `textDataset` does, and of those that score blocks by them. */
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {outlierDefaults} from '../owlore/scores/outlier';
import {flag, group, number, numberOr} from './options';

const {maxLength, batchSize} = textDatasetDefaults;

export const dataOptions = group('Data', {
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
