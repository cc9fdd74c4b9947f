-- Sends what is new in a study that has come to rest to raresight, but never raresight's own results. An image that
-- raresight knows already is not scored again, so a study that grows late is sent without harm.
function OnStableStudy(study, tags, metadata)
  for _, series in pairs(ParseJson(RestApiGet('/studies/' .. study .. '/series'))) do
    if series.MainDicomTags.Manufacturer ~= 'raresight' then
      -- As a job of Orthanc's own, which does not hold up the script.
      RestApiPost('/modalities/raresight/store', '{"Resources": ["' .. series.ID .. '"], "Synchronous": false}')
    end
  end
end
