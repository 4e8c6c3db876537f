/** The options of all commands that read examples as `textDataset` does. */
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {EXAMPLE_FORMATS} from '../llama/text/formats';
import {choice, flag, group, number} from './options';

const {format, batchSize} = textDatasetDefaults;

export const dataOptions = group('Data', {
  format: choice('what the examples hold', EXAMPLE_FORMATS, format),
  maxLength: number('tokens in a row (default: 512, or as many as the model can take)', {
    integer: true,
    min: 1,
  }),
  batchSize: number('rows that go through the model together', {
    integer: true,
    min: 1,
    default: batchSize,
  }),
  packing: flag('rows hold several examples, one behind the other'),
});
