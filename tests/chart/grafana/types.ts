// What Grafana's own schema says of a dashboard, made strict: the schema leaves the options of a panel open, because any
// plug-in may make one; here each kind of panel that is used is held to its own. A dashboard is JSON, so the names of an
// enumeration stand as their texts.
import type { Dashboard, DataQuery, FieldConfig, FieldConfigSource, Panel, RowPanel } from '@grafana/schema';
import type {
  FieldConfig as LinesConfig,
  Options as LinesOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';

type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends readonly (infer E)[]
      ? Plain<E>[]
      : T extends object
        ? { [K in keyof T]: Plain<T[K]> }
        : T;

// Of the Prometheus data source; its schema is no part of the package.
interface PrometheusQuery extends Pick<DataQuery, 'refId' | 'datasource'> {
  expr: string;
  legendFormat: string;
}

type Bare<T> = { [K in keyof T as string extends K ? never : K]: T[K] };

interface Strict<Type extends string, Options, Custom>
  extends Omit<Bare<Panel>, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  id: number;
  type: Type;
  title: string;
  description: string;
  options: Options;
  fieldConfig: Omit<FieldConfigSource, 'defaults'> & { defaults: Omit<FieldConfig, 'custom'> & { custom?: Custom } };
  targets: PrometheusQuery[];
}

export type StatPanel = Plain<Strict<'stat', Partial<StatOptions>, Record<string, never>>>;
export type LinesPanel = Plain<Strict<'timeseries', LinesOptions, LinesConfig>>;
export type Row = Plain<RowPanel>;
export type Board = Plain<Omit<Dashboard, 'panels'>> & { panels: (StatPanel | LinesPanel | Row)[] };
